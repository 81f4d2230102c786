"""Turns a request into its rows, after the checks that need the loaded model."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

from mavis_core.api.bounds import check_number, check_token_ids
from mavis_core.api.errors import ContextLengthError, InvalidRequestError, UnknownObjectiveError
from mavis_core.api.guidance import MAX_WEIGHT, Guidance
from mavis_core.api.messages import ObjectiveInfo, Request
from mavis_core.api.recommended_beta import recommended_beta
from mavis_core.api.room import Room
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.grammar.matcher import Matcher
from mavis_core.schedule.aim import Aim
from mavis_core.schedule.given_answers import check_answers
from mavis_core.schedule.prefix_keys import prefix_root
from mavis_core.schedule.row import Row
from mavis_core.schedule.seeds import row_key
from mavis_core.schedule.track import Companion
from mavis_core.text.detokenizer import Detokenizer
from mavis_core.text.mark import Mark
from mavis_core.text.reasoning import ReasoningTracker
from mavis_core.text.token_bytes import token_bytes_of

MAX_CHARACTER_BYTES = 4


@dataclass(frozen=True, slots=True)
class Admission:
    """What an engine allows.

    Attributes:
        room: for rows and their companions.
        vocab_size: V.
        stop_token_ids: the model's own.
        objectives: loaded, in column order.
        tokenizer: for text, or None.
        caching_values: objective -> the value with a KV cache that scores it, named by its first objective.
    """

    room: Room
    vocab_size: int
    stop_token_ids: tuple[int, ...]
    objectives: Sequence[ObjectiveInfo]
    tokenizer: Tokenizer | None
    caching_values: Mapping[str, str]

    def rows(self, request: Request, matcher: Matcher | None = None) -> list[Row]:
        """Make one row per choice, each with its own copy of ``matcher``; the first carries the others as forks.

        ``request`` has a seed (``seeds.py``).

        Raises:
            InvalidRequestError: and its subclasses, naming the field.
        """
        self._check(request)
        sampling, guidance = request.sampling, request.guidance
        own = self._own_stops(request)
        prompt = list(request.prompt_token_ids)
        resumed = list(request.output_token_ids)
        longest = self.room.answer(list(map(len, request.prompts)))
        most = longest if sampling.max_tokens is None else min(sampling.max_tokens, longest)
        weights, named = self._weights(guidance)
        self._check_conditioned(guidance)
        readers = (
            {self.caching_values[name] for name in guidance.named if name in self.caching_values}
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
                limit=len(prompt) + (len(request.answers[index]) if request.answers else most),
                stop_ids=own + sampling.stop_token_ids,
                eos_count=len(own),
                key=row_key(sampling.seed, index),
                keys=[root],
                guided=guidance.active,
                beta=self._beta(guidance) if guidance.active else 0.0,
                weights=weights,
                named=named,
                detokenizer=self._detokenizer(request),
                reasoning=self._reasoning(request),
                calls=self._calls(request),
                matcher=None if matcher is None else matcher.copy(),
                answer=request.answers[index] if request.answers else (),
                in_words=tuple((o.name, self._weight(guidance, o.name)) for o in request.in_words),
                companions=_companions(request),
                aims=self._aims(request),
            )
            for index in range(sampling.n)
        ]
        if sampling.prompt_logprobs is not None:
            rows[0].prompt_logprobs = [None]  # nothing predicts the first token
        rows[0].forks = rows[1:]
        return rows

    def rows_anew(self, request: Request, drawn: int) -> list[Row]:
        """What ``rows`` makes of a request in flight that is steered otherwise by now.

        More companions leave less room for the answer, which then ends earlier than it was asked to.

        Args:
            drawn: tokens of its longest unfinished answer.

        Raises:
            InvalidRequestError: as ``rows``, or there is no room for a further token.
        """
        sampling, asked = request.sampling, request
        if len(request.prompts) > 1:
            room = self.room.answer(list(map(len, request.prompts)))
            if room <= drawn:
                raise InvalidRequestError(
                    f"objective_weights: with its objectives in words the request reads {len(request.prompts)} "
                    f"prompts, which leaves {max(0, room)} tokens for the answer: {drawn} are there already",
                    "objective_weights",
                )
            most = room if sampling.max_tokens is None else min(sampling.max_tokens, room)
            asked = replace(
                request,
                sampling=replace(sampling, max_tokens=most, min_tokens=min(sampling.min_tokens, most)),
            )
        rows = self.rows(asked)
        for row in rows:
            row.request = request
        return rows

    def _own_stops(self, request: Request) -> tuple[int, ...]:
        """The model's stop tokens that end this request's rows."""
        return () if request.sampling.ignore_eos else self.stop_token_ids

    def _detokenizer(self, request: Request) -> Detokenizer:
        """A detokenizer that continues after the request's ``output_token_ids``.

        It only reads as many of them again as a stop string, an unfinished character or a run of byte tokens can reach
        back, given that a token has at least one byte: a long answer that is continued often would otherwise cost the
        square of its length.
        """
        sampling, resumed = request.sampling, request.output_token_ids
        if self.tokenizer is None:
            return Detokenizer(None, sampling.stop, sampling.skip_special_tokens)
        backend = self.tokenizer.backend_tokenizer
        lone = token_bytes_of(backend).lone
        reach = MAX_CHARACTER_BYTES * (1 + max(map(len, sampling.stop), default=0))
        first = _run_start(resumed, max(0, _run_start(resumed, len(resumed), lone) - reach), lone)
        before = request.prompt_token_ids + resumed[:first]
        made = Detokenizer(backend, sampling.stop, sampling.skip_special_tokens, before, sampling.shown_token_ids)
        for length, token in enumerate(resumed[first:], first + 1):
            made.push(token, length > sampling.min_tokens)
        return made

    def _reasoning(self, request: Request) -> ReasoningTracker | None:
        """A tracker behind the request's ``output_token_ids``."""
        if request.sampling.reasoning is None:
            return None
        assert self.tokenizer is not None, "checked before rows are made"
        made = ReasoningTracker(self.tokenizer.backend_tokenizer, request.sampling.reasoning)
        for token in request.output_token_ids:
            made.push(token)
        return made

    def _calls(self, request: Request) -> Mark | None:
        """The beginning of the tool calls, looked for behind the reasoning; None where nothing depends on it,
        whatever the weights are made meanwhile.
        """
        marks, guidance = request.sampling.calls, request.guidance
        if not marks or guidance.scope == "all":
            return None
        assert self.tokenizer is not None, "checked before rows are made"
        made, reasoning = Mark(self.tokenizer.backend_tokenizer, marks), self._reasoning(request)
        for token in request.output_token_ids[0 if reasoning is None else reasoning.tokens :]:
            made.add(token)
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
        if len(prompt) + len(resumed) >= self.room.max_model_len:
            raise ContextLengthError(len(prompt) + len(resumed), self.room.max_model_len - 1)
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
            *((f"objectives.{o.name}", o.prompt_token_ids) for o in request.in_words),
        ):
            check_token_ids(param, tokens, self.vocab_size)
        if len({*self._own_stops(request), *sampling.stop_token_ids}) >= self.vocab_size:
            raise InvalidRequestError(
                "stop_token_ids: every token of the vocabulary would stop the answer", "stop_token_ids"
            )
        if sampling.stop and self.tokenizer is None:
            raise InvalidRequestError("stop: this engine has no tokenizer, use stop_token_ids", "stop")
        if sampling.reasoning is not None and self.tokenizer is None:
            raise InvalidRequestError("reasoning: this engine has no tokenizer to know it by", "reasoning")
        if sampling.calls and self.tokenizer is None:
            raise InvalidRequestError("calls: this engine has no tokenizer to know them by", "calls")
        guidance = request.guidance
        if guidance.active and guidance.scope == "reasoning" and sampling.reasoning is None:
            raise InvalidRequestError(
                "guidance.scope='reasoning': no reasoning is told apart in this answer; must be 'answer' or 'all'",
                "guidance.scope",
            )
        self._check_objectives(request)
        self._check_room(request)
        check_answers(request, self.room, self.vocab_size)

    def _check_objectives(self, request: Request) -> None:
        """That each name means one objective, and its weight is one that it accepts."""
        known = {objective.name: objective for objective in self.objectives}
        in_words: set[str] = set()
        for name in (objective.name for objective in request.prompted):
            if name in known or name in in_words:
                whose = f"is scored by the value {known[name].value!r} already" if name in known else "is given twice"
                raise InvalidRequestError(f"objectives.{name}: {whose}; choose another name", f"objectives.{name}")
            in_words.add(name)
        if unknown := [name for name in request.guidance.named if name not in known and name not in in_words]:
            raise UnknownObjectiveError(unknown, [*known, *in_words])
        for name, weight in request.guidance.weights.items():
            if name in in_words:
                continue
            check_number(f"objective_weights.{name}", weight, *known[name].weight_range)
        for field, least in (("floors", 0.0), ("maximise", 0.0), ("worst_case", 1.0)):
            for name in getattr(request.guidance, field):
                most = self._most(name)
                if most < least or most == 0:
                    raise InvalidRequestError(
                        f"guidance.{field}: {name} takes weights up to {most:g}, so it cannot be pulled up",
                        f"guidance.{field}",
                    )

    def _check_room(self, request: Request) -> None:
        """That a row with its companions can ever run, to the end that it asks for."""
        lengths = list(map(len, request.prompts))
        if len(lengths) == 1:
            return
        if min(lengths) == 0:
            raise InvalidRequestError("objectives: the prompt of an objective in words is empty", "objectives")
        if len(lengths) > self.room.max_num_seqs:
            raise InvalidRequestError(
                f"objective_weights: {len(lengths) - 1} objectives in words take {len(lengths)} places beside each "
                f"other: this engine has {self.room.max_num_seqs}",
                "objective_weights",
            )
        wanted = request.sampling.max_tokens
        least = max(1, len(request.output_token_ids) + 1, wanted or 0)
        if (fits := self.room.answer(lengths)) < least:
            raise InvalidRequestError(
                f"objective_weights: with its objectives in words the request reads {len(lengths)} prompts of up to "
                f"{max(lengths)} tokens, which leaves {max(0, fits)} tokens for the answer: {least} are needed; send "
                "a shorter prompt, a smaller max_tokens or fewer objectives",
                "objective_weights",
            )

    def _check_conditioned(self, guidance: Guidance) -> None:
        """What a conditioned value says holds for the tilt as it is, and where it was trained with the weights, for its
        own tilt only and in the range that it was trained for.
        """
        known = {objective.name: objective for objective in self.objectives}
        conditioned = [name for name in guidance.named if name in known and known[name].conditioned]
        if not conditioned or not guidance.active:
            return
        first = known[conditioned[0]]
        if guidance.solved:
            field = next(name for name in ("floors", "maximise", "worst_case") if getattr(guidance, name))
            raise InvalidRequestError(
                f"guidance.{field}: cannot be combined with {first.name}, whose value has to be told the weights",
                f"guidance.{field}",
            )
        if guidance.normalise != "none":
            raise InvalidRequestError(
                f"guidance.normalise={guidance.normalise!r}: must be 'none' with {first.name}, whose value takes the "
                "weights into account",
                "guidance.normalise",
            )
        in_range = [name for name in conditioned if known[name].pull_range is not None]
        if not in_range:
            return
        first = known[in_range[0]]
        alien = (name for name in guidance.weights if name not in in_range or known[name].value != first.value)
        if others := list(alien):
            raise InvalidRequestError(
                f"objective_weights.{others[0]}: is of another value than {first.name}, whose value takes all weights "
                "into account and can only be used alone",
                f"objective_weights.{others[0]}",
            )
        beta = self._beta(guidance)
        for objective in (o for o in self.objectives if o.value == first.value and o.pull_range is not None):
            low, high = objective.pull_range or (0.0, 0.0)
            tilt_weight = beta * guidance.weights.get(objective.name, 0.0)
            if not low <= tilt_weight <= high:
                raise InvalidRequestError(
                    f"objective_weights.{objective.name}: beta * weight = {tilt_weight:g}: this value was trained for "
                    f"{low:g} to {high:g}",
                    f"objective_weights.{objective.name}",
                )

    def _weights(self, guidance: Guidance) -> tuple[tuple[float, ...], tuple[int, ...]]:
        if not guidance.active:
            return (), ()
        names, named = [objective.name for objective in self.objectives], set(guidance.named)
        weights = tuple(self._weight(guidance, name) for name in names)
        return weights, tuple(i for i, name in enumerate(names) if name in named)

    def _weight(self, guidance: Guidance, name: str) -> float:
        """lambda before anything is found: what is maximised has as much as all of it takes, for the KL to scale."""
        if name in guidance.maximise:
            return min(map(self._most, guidance.maximise))
        return float(guidance.weights.get(name, 0.0))

    def _most(self, name: str) -> float:
        """The highest weight that an objective takes."""
        return next((o.weight_range[1] for o in self.objectives if o.name == name), MAX_WEIGHT)

    def _aims(self, request: Request) -> tuple[Aim, ...]:
        """Floors, then the worst case."""
        guidance = request.guidance
        if not guidance.solved:
            return ()
        loaded = {objective.name: column for column, objective in enumerate(self.objectives)}
        words = {objective.name: column for column, objective in enumerate(request.in_words)}
        beta, found = self._beta(guidance), []
        for name, floor in (*guidance.floors.items(), *((name, None) for name in guidance.worst_case)):
            in_words = name in words
            most = 0.0 if floor is None else beta * max(0.0, self._most(name) - self._weight(guidance, name))
            found.append(Aim(name, words[name] if in_words else loaded[name], in_words, floor, most))
        return tuple(found)

    def _beta(self, guidance: Guidance) -> float:
        if guidance.beta is not None:
            return guidance.beta
        return recommended_beta(guidance, {objective.name: objective for objective in self.objectives})


def _companions(request: Request) -> tuple[Companion, ...]:
    """Fresh ones for one choice. No loaded value reads them, whatever it is that reads the row."""
    root, resumed = prefix_root((), request.cache_salt), list(request.output_token_ids)
    return tuple(
        Companion(tokens=[*objective.prompt_token_ids, *resumed], keys=[root], column=column)
        for column, objective in enumerate(request.in_words)
        if objective.prompt_token_ids != request.prompt_token_ids
    )


def _run_start(tokens: Sequence[int], end: int, lone: Container[int]) -> int:
    """Where the run of byte tokens that ends before ``end`` begins; ``end`` if there is none."""
    while end > 0 and tokens[end - 1] in lone:
        end -= 1
    return end
