"""The plainly right loop: one row, no cache, no batch, one candidate at a time. The oracle of every fast path.

Every step runs the whole text again through transformers' own forward, scores each candidate with the value's
own slow path, and writes the equations out in Python floats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

import torch

from mavis_core.api.guidance import MAX_WEIGHT, Guidance
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.reasoning import Reasoning
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.grammar.compiler import GrammarCompiler
from mavis_core.grammar.matcher import FREE_SHARE, Matcher
from mavis_core.model.policy import Policy
from mavis_core.reference_multipliers import Pull, ReferenceStep
from mavis_core.sample.noise import gumbel_reference
from mavis_core.values.protocol import ConditionedValue, ValueFunction


@dataclass(slots=True)
class ReferenceRow:
    """What the loop produced: output tokens with log p and log ref of each, and, per guided step, the KL in its two
    parts; nats, -inf for a given token that could not have been drawn."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    base_logprobs: list[float] = field(default_factory=list)
    steering: list[float] = field(default_factory=list)
    truncation: list[float] = field(default_factory=list)


def reference_generate(
    policy: Policy,
    values: Sequence[ValueFunction],
    prompt: Sequence[int],
    sampling: SamplingParams,
    guidance: Guidance,
    beta: float,
    choice: int = 0,
    prompted: Sequence[PromptedObjective] = (),
    answer: Sequence[int] = (),
    resumed: Sequence[int] = (),
) -> ReferenceRow:
    """Generate one choice of at most ``sampling.max_tokens`` tokens; ``sampling.seed`` must be set.

    Of an ``answer`` the loop takes the tokens instead of drawing, all of them. ``resumed`` are its first tokens, which
    something else has drawn.
    """
    assert sampling.seed is not None and sampling.max_tokens is not None
    out = ReferenceRow()
    out.tokens += resumed
    tokens = [*prompt, *resumed]
    own = () if sampling.ignore_eos else policy.stop_token_ids
    stops = {*own, *sampling.stop_token_ids}
    steered_in_words = any(guidance.steers(objective.name) for objective in prompted)
    matcher = None
    if sampling.structure is not None:
        compiler = GrammarCompiler(policy.tokenizer, policy.vocab_size, policy.stop_token_ids)
        matcher = compiler.compile(sampling.structure)
    for position in range(len(resumed), len(answer) or sampling.max_tokens):
        with torch.inference_mode():
            text = torch.tensor(tokens, device=policy.device)
            hidden = policy.backbone.forward_plain(text)[-1]
            logits: list[float] = policy.logits(hidden[None])[0].double().tolist()
        raw = logits
        guided = guidance.active and _in_scope(policy, sampling, guidance.scope, out.tokens, matcher)
        banned = position < sampling.min_tokens or (guided and position == 0 and not guidance.allow_empty)
        forbidden = stops if banned else set()
        if matcher is not None:
            place = _place(policy, out.tokens, sampling.reasoning)
            forbidden = stops if place == "inside" else _forbidden(matcher, policy, stops, banned)
            if place == "before" and sampling.reasoning is not None:
                forbidden = forbidden - set(_token(policy, sampling.reasoning.begin))
        logits = _edit(logits, list(prompt), out.tokens, sampling, forbidden)
        temperature = sampling.temperature or 1.0
        scaled = [x / temperature for x in logits]
        survivors = _survivors(scaled, sampling)
        noise = {
            a: gumbel_reference(sampling.seed, choice, position, a) if sampling.temperature else 0.0 for a in survivors
        }
        if guided:
            candidates = _candidates(survivors, guidance, stops, steered_in_words)
            scores = _scores(values, tokens, hidden, guidance, beta, candidates)
            scores |= _in_words(policy, prompted, out.tokens, raw, candidates, guidance)
            tilt = _tilt(scores, guidance, beta, len(candidates))
            if guidance.solved:
                tilt = _solved([scaled[a] for a in candidates], tilt, scores, guidance, beta)
            log_p, log_ref, mass = _tilted(scaled, candidates, tilt, guidance.max_kl_per_token)
            out.steering.append(sum(math.exp(p) * (p - r + mass) for p, r in zip(log_p, log_ref, strict=True)))
            out.truncation.append(-mass)
            p = dict(zip(candidates, log_p, strict=True))
        else:
            normaliser = _log_normaliser([scaled[a] for a in survivors])
            p = {a: scaled[a] - normaliser for a in survivors}
        drawn = answer[position] if answer else max(p, key=lambda a: p[a] + noise[a])
        tokens.append(drawn)
        out.tokens.append(drawn)
        out.logprobs.append(p.get(drawn, -math.inf))
        out.base_logprobs.append(scaled[drawn] - _log_normaliser(scaled))
        if drawn in stops and not answer:
            break
        if matcher is not None:
            if "inside" in (place, _place(policy, out.tokens, sampling.reasoning)):
                continue
            if drawn in policy.stop_token_ids:  # ignored, but nothing else could follow
                break
            matcher.advance(drawn)
            if matcher.exhausted:
                break
    return out


def _place(policy: Policy, output: list[int], reasoning: Reasoning | None) -> Literal["before", "inside", "behind"]:
    """Where the next token stands, by the text of all tokens so far."""
    if reasoning is None:
        return "behind"
    assert policy.tokenizer is not None
    text = policy.tokenizer.decode(output).lstrip()
    if reasoning.opened or text.startswith(reasoning.begin):
        return "behind" if reasoning.end in text else "inside"
    return "before" if reasoning.begin.startswith(text) else "behind"


def _token(policy: Policy, text: str) -> list[int]:
    """The token that ``text`` is, if it is one."""
    assert policy.tokenizer is not None
    tokens = policy.tokenizer.encode(text, add_special_tokens=False)
    return tokens if len(tokens) == 1 else []


def _in_scope(policy: Policy, sampling: SamplingParams, scope: str, output: list[int], matcher: Matcher | None) -> bool:
    """Whether the next token is steered: all of the text is read again, and the grammar asked for every token."""
    if scope == "all":
        return True
    text = ""
    if sampling.reasoning is not None or sampling.calls:
        assert policy.tokenizer is not None, "the engine refuses it"
        text = policy.tokenizer.decode(output, skip_special_tokens=False)
        text = text.removesuffix("\N{REPLACEMENT CHARACTER}")  # a character that is not whole yet
    reasons, text = _past_reasoning(text, sampling)
    if reasons or scope == "reasoning":
        return reasons and scope == "reasoning"
    if any(mark in text for mark in sampling.calls):
        return False
    if matcher is None:
        return True
    allowed = sum(matcher.accepts(a) for a in range(policy.vocab_size) if a not in policy.stop_token_ids)
    return allowed >= FREE_SHARE * 32 * -(-policy.vocab_size // 32)


def _past_reasoning(text: str, sampling: SamplingParams) -> tuple[bool, str]:
    """Whether the text has not come to the end of its reasoning, and what is behind it."""
    if (marks := sampling.reasoning) is None:
        return False, text
    begun = marks.begin + text if marks.opened else text.lstrip()
    if not begun.startswith(marks.begin):
        return marks.begin.startswith(begun), text
    _, end, behind = begun.removeprefix(marks.begin).partition(marks.end)
    return not end, behind


def _forbidden(matcher: Matcher, policy: Policy, stops: set[int], banned: bool) -> set[int]:
    """Tokens that a structure forbids, by asking for each: text as the grammar says, stop tokens at its end only."""
    ends = {*stops, *policy.stop_token_ids}
    allowed = {token for token in range(policy.vocab_size) if token not in ends and matcher.accepts(token)}
    if matcher.complete and not banned:
        allowed |= stops
    if matcher.complete and not allowed:
        allowed |= stops or ends
    assert allowed, "the structure cannot go on"
    return set(range(policy.vocab_size)) - allowed


def _edit(
    logits: list[float], prompt: list[int], output: list[int], sampling: SamplingParams, banned: set[int]
) -> list[float]:
    edited = [x + sampling.logit_bias.get(a, 0.0) for a, x in enumerate(logits)]
    for a in range(len(edited)):
        if a in banned:
            edited[a] = -math.inf
        if a in prompt or a in output:
            edited[a] = (
                edited[a] / sampling.repetition_penalty if edited[a] > 0 else edited[a] * sampling.repetition_penalty
            )
        count = output.count(a)
        edited[a] -= sampling.frequency_penalty * count + sampling.presence_penalty * (count > 0)
    return edited


def _log_normaliser(xs: Sequence[float]) -> float:
    top = max(xs)
    return top + math.log(sum(math.exp(x - top) for x in xs))


def _survivors(scaled: list[float], sampling: SamplingParams) -> list[int]:
    """Tokens that top_k, top_p and min_p leave, most likely first."""
    order = [a for a in sorted(range(len(scaled)), key=lambda a: (-scaled[a], a)) if scaled[a] > -math.inf]
    if sampling.min_p > 0:
        floor = scaled[order[0]] + math.log(sampling.min_p)
        order = [a for a in order if scaled[a] >= floor]
    if sampling.top_k > 0:
        order = order[: sampling.top_k]
    if sampling.top_p < 1:
        normaliser = _log_normaliser([scaled[a] for a in order])
        kept: list[int] = []
        before = 0.0
        for a in order:
            if kept and before >= sampling.top_p:
                break
            kept.append(a)
            before += math.exp(scaled[a] - normaliser)
        order = kept
    return order


def _candidates(survivors: list[int], guidance: Guidance, stops: set[int], in_words: bool) -> list[int]:
    """The k likeliest; of a row that is steered in words the likeliest end is the last, where none is there."""
    candidates = survivors[: guidance.top_k]
    end = next((a for a in survivors if a in stops), None)
    if in_words and end is not None and end not in candidates and guidance.top_k > 1:
        candidates[-1] = end
    return candidates


def _in_words(
    policy: Policy,
    prompted: Sequence[PromptedObjective],
    output: list[int],
    raw: list[float],
    candidates: list[int],
    guidance: Guidance,
) -> dict[str, list[float]]:
    """log pi(a | s with the instruction m) - log pi(a | s) of every candidate, for each objective m."""
    found, normaliser = {}, _log_normaliser(raw)
    for objective in prompted:
        text = torch.tensor([*objective.prompt_token_ids, *output], device=policy.device)
        with torch.inference_mode():
            instructed: list[float] = policy.logits(policy.backbone.forward_plain(text)[-1:])[0].double().tolist()
        theirs = _log_normaliser(instructed)
        found[objective.name] = [(instructed[a] - theirs) - (raw[a] - normaliser) for a in candidates]
    return found


FUTURE_KL = ""
"""Among scores, which have names of objectives: W of a conditioned value."""


def _scores(
    values: Sequence[ValueFunction],
    tokens: list[int],
    hidden: torch.Tensor,
    guidance: Guidance,
    beta: float,
    candidates: list[int],
) -> dict[str, list[float]]:
    """V of every candidate, for each loaded objective whose value has one that steers."""
    found: dict[str, list[float]] = {}
    for value in values:
        names = [objective.name for objective in value.spec.objectives]
        if any(map(guidance.steers, names)):
            if value.spec.conditioned:
                weights = [beta * guidance.weights.get(name, 0.0) for name in names]
                value = cast(ConditionedValue, value).at(weights)
                names.append(FUTURE_KL)
            with torch.inference_mode():
                rows = value.reference(tokens, candidates, hidden).double().tolist()
            found |= {name: [row[m] for row in rows] for m, name in enumerate(names)}
    return found


def _tilt(scores: Mapping[str, list[float]], guidance: Guidance, beta: float, count: int) -> list[float]:
    """beta * sum_m lambda_m V_m - W of every candidate."""
    weights = {**guidance.weights, **dict.fromkeys(guidance.maximise, MAX_WEIGHT)}
    combined = [sum(weights.get(name, 0.0) * v[i] for name, v in scores.items()) for i in range(count)]
    future_kls = scores.get(FUTURE_KL, [0.0] * count)
    if guidance.normalise == "minmax":
        low, span = min(combined), max(combined) - min(combined)
        combined = [(x - low) / span if span > 0 else 0.0 for x in combined]
    return [beta * x - kl for x, kl in zip(combined, future_kls, strict=True)]


def _solved(
    log_ref: list[float], tilt: list[float], scores: Mapping[str, list[float]], guidance: Guidance, beta: float
) -> list[float]:
    """The tilt with floors kept and the worst case shared out; of objectives that take any weight."""
    normaliser, pulls = _log_normaliser(log_ref), []
    for name, floor in guidance.floors.items():
        if guidance.floors_relative:
            floor += sum(math.exp(r - normaliser) * v for r, v in zip(log_ref, scores[name], strict=True))
        given = MAX_WEIGHT if name in guidance.maximise else guidance.weights.get(name, 0.0)
        pulls.append(Pull(scores[name], floor, beta * (MAX_WEIGHT - given)))
    pulls += [Pull(scores[name], None, 0.0) for name in guidance.worst_case]
    return ReferenceStep(log_ref, tilt, pulls, beta).solve(guidance.max_kl_per_token)


def _tilted(
    scaled: list[float], candidates: list[int], tilt: list[float], limit: float | None
) -> tuple[list[float], list[float], float]:
    """log p and log ref over the candidates, and log ref(C); the tilt scaled down to meet ``limit``."""
    normaliser = _log_normaliser(scaled)
    log_ref = [scaled[a] - normaliser for a in candidates]
    mass = _log_normaliser(log_ref)

    def at(gamma: float) -> tuple[list[float], float]:
        raw = [r + gamma * t for r, t in zip(log_ref, tilt, strict=True)]
        total = _log_normaliser(raw)
        log_p = [x - total for x in raw]
        return log_p, sum(math.exp(p) * (p - r + mass) for p, r in zip(log_p, log_ref, strict=True))

    log_p, kl = at(1.0)
    if limit is not None and kl > limit:
        low, high = 0.0, 1.0
        for _ in range(24):
            middle = (low + high) / 2
            low, high = (middle, high) if at(middle)[1] <= limit else (low, middle)
        log_p, _ = at(low)
    return log_p, log_ref, mass
