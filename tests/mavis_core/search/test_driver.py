"""What goes out while a search runs, and what is left behind when it ends early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import EngineUnavailableError, InvalidRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request, RequestOutput
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.search_params import SearchParams
from mavis_core.api.structure import Structure
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from mavis_core.offline_search import SteppedEngine
from mavis_core.search.driver import search
from tests.models import (
    assert_idle,
    byte_tokenizer,
    head_value,
    mixed_engine,
    objective,
    tiny_model,
)
from value_models.kinds.head import HeadValue


def wanted(params: SearchParams, sampling: SamplingParams | None = None, weights: Any = None) -> Request:
    guidance = Guidance({"a": 1.0, "c": -0.7} if weights is None else weights, beta=0.8, top_k=7, search=params)
    return Request("r", (3, 5, 7), sampling or SamplingParams(max_tokens=9, seed=1, ignore_eos=True), guidance)


async def outputs_of(engine: Engine, request: Request, **settings: Any) -> list[RequestOutput]:
    stepping = SteppedEngine(engine)
    return [output async for output in search(stepping.generate, request, engine.info, engine.tokenizer, **settings)]


@pytest.mark.parametrize("beams", [1, 3])
async def test_chunks_go_out_as_they_become_certain(beams: int) -> None:
    """One beam: chunk by chunk. Several: only what all of them begin with, so never anything taken back."""
    engine = mixed_engine()
    outputs = await outputs_of(engine, wanted(SearchParams("chunk", beams, 3, 2)))
    assert [output.finished for output in outputs] == [False] * (len(outputs) - 1) + [True]
    sizes = [len(output.deltas[0].token_ids) for output in outputs]
    assert sum(sizes) == 9
    if beams == 1:
        assert sizes == [2, 2, 2, 2, 1, 0]
    else:
        assert all(sizes[:-1])
    assert all(output.deltas[0].guidance is None for output in outputs[:-1])
    last = outputs[-1].deltas[0]
    assert last.finish_reason == "length"
    assert last.guidance is not None and last.guidance.tokens == 9
    assert last.guidance.search is not None and last.guidance.search.rounds == 5
    assert last.guidance.search.tokens == beams * 3 * 9
    nats = [cost for output in outputs for cost in output.deltas[0].kl_nats]
    assert len(nats) == 9
    assert sum(nats) == pytest.approx(last.guidance.steering_nats + last.guidance.truncation_nats)
    assert_idle(engine)


@pytest.mark.parametrize("method", ["chunk", "beam"])
async def test_leaving_in_the_middle_of_a_round_leaves_nothing_behind(method: Any) -> None:
    engine = mixed_engine()
    outputs = search(SteppedEngine(engine).generate, wanted(SearchParams(method, 2, 3)), engine.info, None)
    waiting = asyncio.ensure_future(anext(outputs))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert engine.has_work
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await outputs.aclose()
    assert_idle(engine)


async def test_leaving_between_rounds_leaves_nothing_behind() -> None:
    engine = mixed_engine()
    async with aclosing(
        search(SteppedEngine(engine).generate, wanted(SearchParams("chunk", 1, 3, 2)), engine.info, None)
    ) as o:
        assert (await anext(o)).deltas[0].token_ids
    assert_idle(engine)


async def test_a_failing_row_fails_the_search_and_frees_the_others() -> None:
    engine = mixed_engine()
    stepping = SteppedEngine(engine)

    async def failing(request: Request) -> AsyncGenerator[RequestOutput, None]:
        if request.id == "r/2.1":
            await asyncio.sleep(0)
            raise EngineUnavailableError("the engine died")
        async for output in stepping.generate(request):
            yield output

    with pytest.raises(EngineUnavailableError, match="the engine died"):
        async for _ in search(failing, wanted(SearchParams("chunk", 2, 3, 2)), engine.info, None):
            pass
    await asyncio.sleep(0)
    assert_idle(engine)


class Byte:
    """Texts with many of a letter score high. Remembers what it saw."""

    names = ("a",)

    def __init__(self, letter: str) -> None:
        self.letter = letter
        self.seen: list[tuple[str, str]] = []

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[list[float]]:
        self.seen += zip(prompts, responses, strict=True)
        return [[float(text.count(self.letter))] for text in responses]


def byte_engine() -> Engine:
    tokenizer = byte_tokenizer()
    model = tiny_model("llama")
    model.resize_token_embeddings(len(tokenizer))
    policy = Policy(model, tokenizer, "bytes")
    network = head_value(policy, "a").network
    return Engine(policy, [HeadValue("h", [objective("a")], network, policy.readout.weight)], EngineConfig())


async def test_rewards_of_the_text_may_choose() -> None:
    """They see the prompt's text and what a reader would see: no stop string."""
    engine, scorer = byte_engine(), Byte("o")
    bias = dict.fromkeys(b"hoxy", 100.0)
    sampling = SamplingParams(max_tokens=8, seed=3, stop=("xy",), logit_bias=bias, temperature=2.0)
    params = SearchParams("best_of", successors=12, scorer="rewards")
    request = Request("r", tuple(b"say:"), sampling, Guidance({"a": 1.0}, beta=0.1, search=params))
    (output, last) = await outputs_of(engine, request, scorer=scorer)
    text = output.deltas[0].text + last.deltas[0].text
    assert len(scorer.seen) > 6
    assert {prompt for prompt, _ in scorer.seen} == {"say:"}
    best = max((response for _, response in scorer.seen), key=lambda response: response.count("o"))
    assert text.count("o") == best.count("o")
    assert text in [response for _, response in scorer.seen]
    assert any(len(response) < 7 for _, response in scorer.seen), "some ended early"
    assert not any("xy" in response for _, response in scorer.seen)
    assert last.deltas[0].guidance is not None and last.deltas[0].guidance.search is not None
    assert last.deltas[0].guidance.search.score == best.count("o")


async def test_a_stop_string_across_chunks_is_found_and_not_shown() -> None:
    engine = byte_engine()
    sampling = SamplingParams(max_tokens=9, seed=3, stop=("hhh",), logit_bias={ord("h"): 100.0})
    params = SearchParams("chunk", 1, 2, 2)
    request = Request("r", tuple(b"x"), sampling, Guidance({"a": 1.0}, beta=0.1, search=params))
    outputs = await outputs_of(engine, request)
    assert "".join(output.deltas[0].text for output in outputs) == ""
    assert (outputs[-1].deltas[0].finish_reason, outputs[-1].deltas[0].stop_reason) == ("stop", "hhh")
    assert sum(len(output.deltas[0].token_ids) for output in outputs) == 3


async def test_a_stop_token_is_counted_and_not_shown() -> None:
    engine = byte_engine()
    bias = {ord("h"): 100.0, ord("!"): 99.0}
    sampling = SamplingParams(max_tokens=30, seed=3, stop_token_ids=(ord("!"),), logit_bias=bias, temperature=2.0)
    params = SearchParams("chunk", 1, 2, 2)
    outputs = await outputs_of(
        engine, Request("r", tuple(b"x"), sampling, Guidance({"a": 1.0}, beta=0.1, search=params))
    )
    tokens = [token for output in outputs for token in output.deltas[0].token_ids]
    text = "".join(output.deltas[0].text for output in outputs)
    assert (outputs[-1].deltas[0].finish_reason, outputs[-1].deltas[0].stop_reason) == ("stop", ord("!"))
    assert bytes(tokens).decode() == text + "!"
    assert set(text) == {"h"}


@pytest.mark.parametrize(
    ("params", "sampling", "weights", "message", "param"),
    [
        (SearchParams("best_of"), {}, {"a": 0.0}, "must not all be 0", "guidance.search"),
        (SearchParams("best_of"), {"n": 2}, None, "n=2: must be 1 with guidance.search", "n"),
        (SearchParams("chunk"), {"temperature": 0}, None, "would all be the same", "temperature"),
        (SearchParams("chunk"), {"max_tokens": 0}, None, "max_tokens=0: must be at least 1", "max_tokens"),
        (SearchParams("chunk"), {"prompt_logprobs": 1}, None, "cannot be combined", "prompt_logprobs"),
        (SearchParams("beam"), {"structure": Structure("regex", "a")}, None, "cannot be combined", "structure"),
        (
            SearchParams("chunk", scorer="rewards"),
            {},
            None,
            "no reward is loaded for c; loaded: a",
            "guidance.search.scorer",
        ),
    ],
)
async def test_what_cannot_be_searched_is_refused_before_anything_runs(
    params: SearchParams, sampling: Any, weights: Any, message: str, param: str
) -> None:
    engine = mixed_engine()
    request = wanted(params, SamplingParams(**({"max_tokens": 4} | sampling)), weights)
    with pytest.raises(InvalidRequestError) as caught:
        await outputs_of(engine, request, scorer=Byte("o"))
    assert message in str(caught.value)
    assert caught.value.param == param
    assert_idle(engine)


async def test_what_was_cached_of_the_prompt_before_is_told() -> None:
    """Not what later rounds find: that is the search's own."""
    engine = mixed_engine()
    request = wanted(SearchParams("chunk", 2, 3, 2))
    for expected in (0, 0, 3):
        prompt = (3, 5, 7, 11) if expected else (3, 5, 7)
        outputs = await outputs_of(engine, replace(request, prompt_token_ids=prompt))
        assert {output.cached_tokens for output in outputs} == {expected}


async def test_rounds_share_nothing_with_another_salt() -> None:
    engine = mixed_engine()
    salts: set[str | None] = set()

    async def watched(request: Request) -> AsyncGenerator[RequestOutput, None]:
        salts.add(request.cache_salt)
        async for output in SteppedEngine(engine).generate(request):
            yield output

    request = replace(wanted(SearchParams("chunk", 1, 3, 2)), cache_salt="mine")
    async for _ in search(watched, request, engine.info, None):
        pass
    assert salts == {"mine"}


@pytest.mark.parametrize("weights", [{"a": 0.0}, {"joy": 1.0}])
def test_offline_a_refused_search_leaves_nothing_behind(weights: dict[str, float]) -> None:
    engine = mixed_engine()
    search = Guidance(weights, search=SearchParams("best_of"))
    with pytest.raises(InvalidRequestError):
        generate(engine, [[3], [5]], SamplingParams(max_tokens=3), [Guidance(), search])
    assert_idle(engine)


def test_the_engine_itself_does_not_search() -> None:
    with pytest.raises(InvalidRequestError, match=r"guidance.search: is run by mavis_core.search"):
        mixed_engine().add(wanted(SearchParams("best_of")))


@pytest.mark.parametrize("params", [SearchParams("chunk", 2, 2, 5), SearchParams("beam", 2, 3)])
async def test_the_context_ends_a_search(params: SearchParams) -> None:
    engine = mixed_engine(max_model_len=12)
    request = wanted(params, SamplingParams(seed=1, ignore_eos=True))
    outputs = [o async for o in search(SteppedEngine(engine).generate, request, engine.info, None)]
    assert sum(len(output.deltas[0].token_ids) for output in outputs) == 9
    assert outputs[-1].deltas[0].finish_reason == "length"
    assert_idle(engine)
