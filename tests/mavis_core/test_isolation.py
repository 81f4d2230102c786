"""Nobody shares a row: 32 requests that join and leave in random order get exactly the tokens each gets alone.

Half of them begin alike and so read each other's prefixes; alone, with the cache off, nobody does. Some bring
objectives in words, and so companions.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import generate
from tests.models import EOS, VOCAB, assert_idle, collect, mixed_values, request, run, text_policy, tiny_policy
from tests.vocabularies import KINDS

BEGINNING = [random.Random(0).randrange(VOCAB) for _ in range(20)]


def requests(seed: int) -> list[Request]:
    """32 requests, no two alike: a third unguided, the others by heads, by LMs, in words, or by several of these."""
    choose = random.Random(seed)
    found = []
    for i in range(32):
        sampling = SamplingParams(
            n=4 if i % 5 == 0 else 1,
            max_tokens=choose.randint(3, 11),
            min_tokens=choose.choice([0, 0, 1]),
            temperature=choose.choice([0, 0.5, 1.0, 1.0, 1.7]),
            top_p=choose.choice([1.0, 1.0, 0.8, 0.4]),
            top_k=choose.choice([0, 0, 3, 17]),
            min_p=choose.choice([0.0, 0.0, 0.1]),
            presence_penalty=choose.choice([0.0, 0.0, 0.9]),
            frequency_penalty=choose.choice([0.0, 0.0, -0.6]),
            repetition_penalty=choose.choice([1.0, 1.0, 1.4]),
            logit_bias={choose.randrange(VOCAB): 3.0, EOS: 2.0} if choose.random() < 0.3 else {},
            seed=choose.randrange(-(2**63), 2**63),
            stop_token_ids=(choose.randrange(VOCAB),) if choose.random() < 0.3 else (),
            logprobs=choose.choice([None, 0, 3]),
        )
        names = choose.sample("abcde", choose.randint(1, 4)) if i % 3 else []
        guidance = Guidance(
            {name: choose.uniform(-3, 3) for name in names},
            beta=choose.uniform(0.2, 3),
            top_k=choose.choice([1, 2, 7, 13]),
            max_kl_per_token=choose.choice([None, None, 0.1, 1.0]),
            normalise=choose.choice(["none", "none", "minmax"]),
            allow_empty=choose.random() < 0.5,
            report=choose.random() < 0.5,
        )
        prompt = BEGINNING[: choose.choice([0, 0, 7, 20, 20])]
        prompt += [choose.randrange(VOCAB) for _ in range(choose.randint(1, 30 - len(prompt)))]
        one = request(f"{seed}-{i}", prompt, sampling, guidance)
        found.append(one if i % 4 else in_words(one, choose))
    return found


def in_words(one: Request, choose: random.Random) -> Request:
    """``one`` with up to two objectives in words more, one of which may say nothing."""
    weights = {name: choose.uniform(-2, 2) for name in ("x", "y")[: choose.randint(1, 2)]}
    told = [(EOS + 1 + choose.randrange(3), 9, 11), (choose.randrange(VOCAB),) * 12, ()]
    prompted = tuple(PromptedObjective(name, choose.choice(told) + one.prompt_token_ids) for name in weights)
    guidance = replace(one.guidance, weights={**one.guidance.weights, **weights})
    return replace(one, guidance=guidance, prompted=prompted)


def engine(architecture: str, chunked: bool, rows: int = 61, caching: bool = True) -> Engine:
    config = EngineConfig(
        max_num_seqs=rows,
        max_num_batched_tokens=67,
        block_size=5,
        enable_chunked_prefill=chunked,
        enable_prefix_caching=caching,
    )
    return Engine(tiny_policy(architecture), mixed_values(architecture), config)


@cache
def alone(architecture: str) -> dict[str, dict[int, list[int]]]:
    """One request at a time, one row at a time, with its companions."""
    singles = {places: engine(architecture, True, rows=places, caching=False) for places in (1, 2, 3)}
    found: dict[str, dict[int, list[int]]] = {}
    for one in requests(1):
        single = singles[len(one.prompts)]
        single.add(one)
        found |= run(single)
    return found


def together(
    target: Engine, wanted: Sequence[Request], seed: int
) -> tuple[dict[str, dict[int, list[int]]], set[str], int]:
    """Joining in random order at random steps; every sixth is aborted at a random step. Tokens, aborted, most rows."""
    choose = random.Random(seed)
    queue = list(wanted)
    choose.shuffle(queue)
    doomed = {one.id for one in queue[::6]}
    found: dict[str, dict[int, list[int]]] = {}
    aborted: set[str] = set()
    joined: list[str] = []
    most = hits = 0
    while queue or target.has_work:
        for one in queue[: choose.choice([0, 1, 5, 13])]:
            target.add(one)
            joined.append(one.id)
            queue.remove(one)
        collect(target, found)
        most = max(most, len(target.scheduler.running))
        hits += target.last_step.prefix_cache_hits if target.last_step else 0
        for name in [name for name in joined if name in doomed and choose.random() < 0.3]:
            if name in target._rows:
                target.abort(name)
                aborted.add(name)
            doomed.discard(name)
    assert hits > 30  # only rows of the same LMs read each other's
    return found, aborted, most


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("chunked", [True, False])
def test_each_gets_what_it_gets_alone(architecture: str, chunked: bool) -> None:
    wanted = requests(1)
    expected = alone(architecture)
    target = engine(architecture, chunked)
    for order in range(2 if chunked else 1):
        found, aborted, most = together(target, wanted, order)
        assert_idle(target)
        assert aborted
        assert most > 12
        for one in wanted:
            if one.id not in aborted:
                assert found[one.id] == expected[one.id], one
                continue
            for choice, tokens in found.get(one.id, {}).items():
                assert tokens == expected[one.id][choice][: len(tokens)], one


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", [(), ("the", "\n", "\ufffd", "a")])
def test_each_gets_the_text_it_gets_alone(kind: str, stop: tuple[str, ...]) -> None:
    """Also where what is drawn is no UTF-8: all of it is what the tokenizer makes of all tokens, and fails nobody."""
    policy = text_policy(kind)
    tokenizer = policy.tokenizer
    assert tokenizer is not None
    target = Engine(policy, [], EngineConfig(max_num_seqs=40, block_size=5))
    half = tokenizer.encode("a \N{GRINNING FACE}", add_special_tokens=False)[:-1]
    prompts = [[3 + i, 5] if i % 4 else half for i in range(40)]
    params = [SamplingParams(max_tokens=24, temperature=1.5, seed=i, stop=stop) for i in range(40)]
    together = [choices[0] for choices in generate(target, prompts, params, Guidance())]
    spoiled = 0
    for prompt, one, found in zip(prompts, params, together, strict=True):
        spoiled += "\ufffd" in found.text
        if one.seed is not None and one.seed < 5:
            [[alone]] = generate(target, [prompt], [one], Guidance())
            assert (alone.text, alone.token_ids) == (found.text, found.token_ids)
        if stop:
            assert not any(other in found.text for other in stop)
        elif prompt is not half:
            before, whole = (
                tokenizer.decode(prompt),
                tokenizer.decode([*prompt, *found.token_ids], skip_special_tokens=True),
            )
            assert found.text == whole[len(before) :]
    assert stop or kind == "metaspace" or spoiled > 5
    assert_idle(target)
