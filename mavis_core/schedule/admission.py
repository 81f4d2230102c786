"""A request to its rows: the checks that need the loaded model, and what the row must know to run."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from mavis_core.api.errors import ContextLengthError, InvalidRequestError, UnknownObjectiveError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ObjectiveInfo, Request
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.grammar.matcher import Matcher
from mavis_core.schedule.prefix_keys import prefix_root
from mavis_core.schedule.row import Row
from mavis_core.schedule.seeds import row_key
from mavis_core.text.detokenizer import Detokenizer
from mavis_core.text.token_bytes import token_bytes_of

MAX_CHARACTER_BYTES = 4


@dataclass(frozen=True, slots=True)
class Admission:
    """What an engine allows.

    Attributes:
        max_model_len: most tokens of a row.
        vocab_size: V.
        stop_token_ids: the model's own.
        objectives: loaded, in column order.
        tokenizer: for text, or None.
        caching: by the objectives of values that keep a KV cache, what stands for the value.
    """

    max_model_len: int
    vocab_size: int
    stop_token_ids: tuple[int, ...]
    objectives: Sequence[ObjectiveInfo]
    tokenizer: Tokenizer | None
    caching_values: Mapping[str, str]

    def rows(self, request: Request, matcher: Matcher | None = None) -> list[Row]:
        """One row per choice, the first of which carries the others as forks; each with its own copy of ``matcher``.

        ``request`` has a seed (``seeds.py``).

        Raises:
            InvalidRequestError: and its subclasses, naming the field.
        """
        self._check(request)
        sampling, guidance = request.sampling, request.guidance
        own = () if sampling.ignore_eos else self.stop_token_ids
        prompt = list(request.prompt_token_ids)
        resumed = list(request.output_token_ids)
        longest = self.max_model_len - len(prompt)
        most = longest if sampling.max_tokens is None else min(sampling.max_tokens, longest)
        weights, named = self._weights(guidance)
        self._check_conditioned(guidance)
        readers = (
            {self.caching_values[name] for name in guidance.weights if name in self.caching_values}
            if guidance.active
            else ()
        )
        root = prefix_root(tuple(readers), request.cache_salt)
        assert sampling.seed is not None, "seeds are given before rows are made"
        rows = [
            Row(
                request=request,
                index=index,
                tokens=prompt + resumed,
                prompt_length=len(prompt),
                limit=len(prompt) + most,
                stop_ids=own + sampling.stop_token_ids,
                eos_count=len(own),
                key=row_key(sampling.seed, index),
                keys=[root],
                guided=guidance.active,
                beta=self._beta(guidance) if guidance.active else 0.0,
                weights=weights,
                named=named,
                detokenizer=self._detokenizer(request),
                matcher=None if matcher is None else matcher.copy(),
            )
            for index in range(sampling.n)
        ]
        if sampling.prompt_logprobs is not None:
            rows[0].prompt_logprobs = [None]  # nothing predicts the first token
        rows[0].forks = rows[1:]
        return rows

    def _detokenizer(self, request: Request) -> Detokenizer:
        """One that goes on after the tokens that are there already.

        It reads again as many of them as a stop string, an unfinished character or a row of byte tokens can reach
        back, a token having a byte at least; all of them would cost a long answer that goes on often the square of its
        length.
        """
        sampling, resumed = request.sampling, request.output_token_ids
        if self.tokenizer is None:
            return Detokenizer(None, sampling.stop, sampling.skip_special_tokens)
        backend = self.tokenizer.backend_tokenizer
        lone = token_bytes_of(backend).lone
        reach = MAX_CHARACTER_BYTES * (1 + max(map(len, sampling.stop), default=0))
        first = _run_start(resumed, max(0, _run_start(resumed, len(resumed), lone) - reach), lone)
        before = request.prompt_token_ids + resumed[:first]
        made = Detokenizer(backend, sampling.stop, sampling.skip_special_tokens, before)
        for length, token in enumerate(resumed[first:], first + 1):
            made.push(token, length > sampling.min_tokens)
        return made

    def _check(self, request: Request) -> None:
        prompt, sampling = request.prompt_token_ids, request.sampling
        if request.guidance.search is not None:
            raise InvalidRequestError(
                "guidance.search: is run by mavis_core.search over this engine", "guidance.search"
            )
        if sampling.ranked and not request.guidance.active:
            raise InvalidRequestError("ranked: an unguided request has no candidates to rank", "ranked")
        if not prompt:
            raise InvalidRequestError("the prompt is empty: at least one token is needed", "prompt")
        resumed = request.output_token_ids
        if len(prompt) + len(resumed) >= self.max_model_len:
            raise ContextLengthError(len(prompt) + len(resumed), self.max_model_len - 1)
        if resumed and sampling.structure is not None:
            raise InvalidRequestError("output_token_ids: cannot be combined with structure", "output_token_ids")
        if resumed and sampling.max_tokens is not None and len(resumed) >= sampling.max_tokens:
            raise InvalidRequestError(
                f"output_token_ids: {len(resumed)} tokens are there already: must be below "
                f"max_tokens={sampling.max_tokens}",
                "output_token_ids",
            )
        for param, tokens in (
            ("prompt", prompt),
            ("output_token_ids", resumed),
            ("stop_token_ids", sampling.stop_token_ids),
            ("logit_bias", tuple(sampling.logit_bias)),
        ):
            if tokens and not 0 <= min(tokens) <= max(tokens) < self.vocab_size:
                wrong = next(t for t in tokens if not 0 <= t < self.vocab_size)
                raise InvalidRequestError(f"{param}: token id {wrong} is not in 0 to {self.vocab_size - 1}", param)
        own = () if sampling.ignore_eos else self.stop_token_ids
        stops = {*own, *sampling.stop_token_ids}
        if len(stops) >= self.vocab_size:
            raise InvalidRequestError(
                "stop_token_ids: every token of the vocabulary would stop the answer", "stop_token_ids"
            )
        if sampling.stop and self.tokenizer is None:
            raise InvalidRequestError("stop: this engine has no tokenizer, use stop_token_ids", "stop")
        known = {objective.name: objective for objective in self.objectives}
        if unknown := [name for name in request.guidance.weights if name not in known]:
            raise UnknownObjectiveError(unknown, known)
        for name, weight in request.guidance.weights.items():
            low, high = known[name].weight_range
            if not low <= weight <= high:
                raise InvalidRequestError(
                    f"objective_weights.{name}={weight:g}: this value accepts {low:g} to {high:g}",
                    f"objective_weights.{name}",
                )

    def _check_conditioned(self, guidance: Guidance) -> None:
        """A conditioned value knows the KL still to come of its own tilt alone, in the range it was trained for."""
        known = {objective.name: objective for objective in self.objectives}
        conditioned = [name for name in guidance.weights if known[name].pull_range is not None]
        if not conditioned or not guidance.active:
            return
        first = known[conditioned[0]]
        alien = (name for name in guidance.weights if name not in conditioned or known[name].value != first.value)
        if others := list(alien):
            raise InvalidRequestError(
                f"objective_weights.{others[0]}: is of another value than {first.name}, whose value takes all weights "
                "into account and can only be used alone",
                f"objective_weights.{others[0]}",
            )
        if guidance.normalise != "none":
            raise InvalidRequestError(
                f"guidance.normalise={guidance.normalise!r}: must be 'none' with {first.name}, whose value takes the "
                "weights into account",
                "guidance.normalise",
            )
        beta = self._beta(guidance)
        for objective in (o for o in self.objectives if o.value == first.value and o.pull_range is not None):
            low, high = objective.pull_range or (0.0, 0.0)
            tilt_weights = beta * guidance.weights.get(objective.name, 0.0)
            if not low <= tilt_weights <= high:
                raise InvalidRequestError(
                    f"objective_weights.{objective.name}: beta * weight = {tilt_weights:g}: this value was trained for {low:g} "
                    f"to {high:g}",
                    f"objective_weights.{objective.name}",
                )

    def _weights(self, guidance: Guidance) -> tuple[tuple[float, ...], tuple[int, ...]]:
        if not guidance.active:
            return (), ()
        names = [objective.name for objective in self.objectives]
        weights = tuple(float(guidance.weights.get(name, 0.0)) for name in names)
        return weights, tuple(i for i, name in enumerate(names) if name in guidance.weights)

    def _beta(self, guidance: Guidance) -> float:
        """The request's beta, else the recommended ones averaged by |lambda|."""
        if guidance.beta is not None:
            return guidance.beta
        recommended = {objective.name: objective.recommended_beta for objective in self.objectives}
        total = sum(abs(weight) for weight in guidance.weights.values())
        return sum(abs(weight) * recommended[name] for name, weight in guidance.weights.items()) / total


def _run_start(tokens: Sequence[int], end: int, lone: Container[int]) -> int:
    """Where the row of byte tokens begins that ends before ``end``; ``end`` where there is none."""
    while end > 0 and tokens[end - 1] in lone:
        end -= 1
    return end
