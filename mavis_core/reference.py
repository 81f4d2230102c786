"""The plainly right loop: one row, no cache, no batch, one candidate at a time. The oracle of every fast path.

Every step runs the whole text again through transformers' own forward, scores each candidate with the value's
own slow path, and writes the equations out in Python floats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import torch

from mavis_core.api.guidance import Guidance
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.grammar.compiler import GrammarCompiler
from mavis_core.grammar.matcher import Matcher
from mavis_core.model.policy import Policy
from mavis_core.sample.noise import gumbel_reference
from mavis_core.values.protocol import ConditionedValue, ValueFunction


@dataclass(slots=True)
class ReferenceRow:
    """What the loop produced: output tokens and, per guided step, the KL in its two parts (nats)."""

    tokens: list[int] = field(default_factory=list)
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
    resumed: Sequence[int] = (),
) -> ReferenceRow:
    """Generate one choice of at most ``sampling.max_tokens`` tokens; ``sampling.seed`` must be set.

    ``resumed`` are its first tokens, which something else has drawn.
    """
    assert sampling.seed is not None and sampling.max_tokens is not None
    out = ReferenceRow()
    out.tokens += resumed
    tokens = [*prompt, *resumed]
    own = () if sampling.ignore_eos else policy.stop_token_ids
    stops = {*own, *sampling.stop_token_ids}
    matcher = None
    if sampling.structure is not None:
        compiler = GrammarCompiler(policy.tokenizer, policy.vocab_size, policy.stop_token_ids)
        matcher = compiler.compile(sampling.structure)
    for position in range(len(resumed), sampling.max_tokens):
        with torch.inference_mode():
            text = torch.tensor(tokens, device=policy.device)
            hidden = policy.backbone.forward_plain(text)[-1]
            logits: list[float] = policy.logits(hidden[None])[0].double().tolist()
        raw = logits
        banned = position < sampling.min_tokens or (guidance.active and position == 0 and not guidance.allow_empty)
        forbidden = stops if banned else set()
        if matcher is not None:
            forbidden = _forbidden(matcher, policy, stops, banned)
        logits = _edit(logits, list(prompt), out.tokens, sampling, forbidden)
        temperature = sampling.temperature or 1.0
        scaled = [x / temperature for x in logits]
        survivors = _survivors(scaled, sampling)
        noise = {
            a: gumbel_reference(sampling.seed, choice, position, a) if sampling.temperature else 0.0 for a in survivors
        }
        if guidance.active:
            candidates = survivors[: guidance.top_k]
            combined = _in_words(policy, prompted, out.tokens, raw, candidates, guidance)
            tilt = _tilt(values, tokens, candidates, hidden, guidance, beta, combined)
            log_p, log_ref, mass = _tilted(scaled, candidates, tilt, guidance.max_kl_per_token)
            out.steering.append(sum(math.exp(p) * (p - r + mass) for p, r in zip(log_p, log_ref, strict=True)))
            out.truncation.append(-mass)
            score = {a: p + noise[a] for a, p in zip(candidates, log_p, strict=True)}
        else:
            score = {a: scaled[a] + noise[a] for a in survivors}
        drawn = max(score, key=lambda a: score[a])
        tokens.append(drawn)
        out.tokens.append(drawn)
        if drawn in stops:
            break
        if matcher is not None:
            if drawn in policy.stop_token_ids:  # ignored, but nothing else could follow
                break
            matcher.advance(drawn)
            if matcher.exhausted:
                break
    return out


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


def _in_words(
    policy: Policy,
    prompted: Sequence[PromptedObjective],
    output: list[int],
    raw: list[float],
    candidates: list[int],
    guidance: Guidance,
) -> list[float]:
    """sum_m lambda_m (log pi(a | s with the instruction m) - log pi(a | s)) of every candidate."""
    combined, normaliser = [0.0] * len(candidates), _log_normaliser(raw)
    for objective in prompted:
        weight = guidance.weights.get(objective.name, 0.0)
        text = torch.tensor([*objective.prompt_token_ids, *output], device=policy.device)
        with torch.inference_mode():
            instructed: list[float] = policy.logits(policy.backbone.forward_plain(text)[-1:])[0].double().tolist()
        theirs = _log_normaliser(instructed)
        for i, a in enumerate(candidates):
            combined[i] += weight * ((instructed[a] - theirs) - (raw[a] - normaliser))
    return combined


def _tilt(
    values: Sequence[ValueFunction],
    tokens: list[int],
    candidates: list[int],
    hidden: torch.Tensor,
    guidance: Guidance,
    beta: float,
    combined: list[float],
) -> list[float]:
    """beta * V of every candidate, ``combined`` and what the loaded values add to it."""
    combined, future_kls = list(combined), [0.0] * len(candidates)
    for value in values:
        weights = [guidance.weights.get(objective.name, 0.0) for objective in value.spec.objectives]
        if any(weights):
            conditioned = value.spec.conditioned
            if conditioned:
                value = cast(ConditionedValue, value).at([beta * weight for weight in weights])
            with torch.inference_mode():
                found = value.reference(tokens, candidates, hidden).double().tolist()
            for i, scores in enumerate(found):
                if conditioned:
                    future_kls[i] += scores.pop()
                combined[i] += sum(w * v for w, v in zip(weights, scores, strict=True))
    if guidance.normalise == "minmax":
        low, span = min(combined), max(combined) - min(combined)
        combined = [(x - low) / span if span > 0 else 0.0 for x in combined]
    return [beta * x - kl for x, kl in zip(combined, future_kls, strict=True)]


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
