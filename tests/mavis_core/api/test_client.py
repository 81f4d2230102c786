"""What ``EngineClient`` promises, held against the fake that the server's tests use and against the real ones.

Each client lives as long as this module, so the tests that end it stand last. What only one of them can do (be killed,
restart, search) is in the tests beside it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mavis_core.api.config import EngineConfig
from mavis_core.api.engine_client import EngineClient
from mavis_core.api.errors import (
    EngineUnavailableError,
    InvalidRequestError,
    LoadError,
    QueueFullError,
    UnknownObjectiveError,
    UnknownRequestError,
    UnknownValueError,
    ValueConflictError,
)
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ChoiceDelta, Request, RequestOutput, SteeringChange, StepStats
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.search_params import SearchParams
from mavis_core.api.structure import Structure
from mavis_core.process.engine_process import EngineProcess
from mavis_core.process.engine_thread import EngineThread
from mavis_core.process.queue_client import QueueClient
from tests.forked import fork_engines
from tests.mavis_core.clients import until
from tests.server.fake_engine import FakeEngine
from tests.spawned import letters_engine
from tests.vocabularies import byte_tokenizer

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPT = tuple(b"to whom it may concern")
EOS, VOCAB = 256, 257
CONTEXT, PLACES = 2000, 8
CONFIG = EngineConfig(max_num_seqs=4, max_queue=PLACES - 4, block_size=16, device="cpu", max_model_len=CONTEXT)


@dataclass
class Subject:
    """A client, and the statistics that it has sent so far."""

    client: EngineClient
    steps: list[StepStats] = field(default_factory=list)


def real(kind: type[EngineThread] | type[EngineProcess], folder: Path) -> QueueClient:
    return kind(partial(letters_engine, str(folder), CONFIG), CONFIG)


def fake() -> FakeEngine:
    return FakeEngine(latency=0.001, limit=PLACES, max_model_len=CONTEXT, ends=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tokenizer")
    byte_tokenizer().save_pretrained(made)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["fake", "thread", "process"])
async def subject(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Subject]:
    if request.param == "fake":
        client: EngineClient = fake()
    else:
        client = real(EngineThread if request.param == "thread" else EngineProcess, folder)
        with pytest.MonkeyPatch.context() as patch:
            fork_engines(patch)
            client.start()
        await client.wait_ready()
    made = Subject(client)
    client.on_step(made.steps.append)
    yield made
    await client.close()


def wanted(name: str = "r", guidance: Guidance | None = None, **sampling: Any) -> Request:
    params = SamplingParams(**{"seed": 5, "max_tokens": 6, "ignore_eos": True, **sampling})
    return Request(name, PROMPT, params, guidance or Guidance())


LONG = wanted("long", max_tokens=1500)


async def outputs(client: EngineClient, request: Request) -> list[RequestOutput]:
    return [output async for output in client.generate(request)]


async def choices(client: EngineClient, request: Request) -> dict[int, list[ChoiceDelta]]:
    """The deltas of each choice, once the shape of all outputs is checked."""
    found = await outputs(client, request)
    assert [output.finished for output in found] == [False] * (len(found) - 1) + [True]
    deltas: dict[int, list[ChoiceDelta]] = {}
    for output in found:
        assert (output.request_id, output.prompt_tokens, output.error) == (request.id, len(PROMPT), None)
        assert 0 <= output.cached_tokens < len(PROMPT)
        assert output.deltas
        for delta in output.deltas:
            deltas.setdefault(delta.index, []).append(delta)
    assert sorted(deltas) == list(range(request.sampling.n))
    for mine in deltas.values():
        assert [delta.finish_reason is None for delta in mine] == [True] * (len(mine) - 1) + [False]
    return deltas


def tokens(deltas: list[ChoiceDelta]) -> list[int]:
    return [token for delta in deltas for token in delta.token_ids]


def text(deltas: list[ChoiceDelta]) -> str:
    return "".join(delta.text for delta in deltas)


async def test_the_limit_ends_an_answer(subject: Subject) -> None:
    deltas = (await choices(subject.client, wanted()))[0]
    assert [len(delta.token_ids) for delta in deltas] == [1] * 6
    assert (deltas[-1].finish_reason, deltas[-1].stop_reason) == ("length", None)
    assert text(deltas) == bytes(token for token in tokens(deltas) if token != EOS).decode()
    assert all((delta.logprobs, delta.reports, delta.guidance) == ((), (), None) for delta in deltas)
    assert subject.client.in_flight == 0


async def test_the_models_own_stop_ends_an_answer_and_is_no_text(subject: Subject) -> None:
    deltas = (await choices(subject.client, wanted(ignore_eos=False, max_tokens=None)))[0]
    assert (deltas[-1].finish_reason, deltas[-1].stop_reason) == ("stop", None)
    assert tokens(deltas)[-1] == EOS
    assert text(deltas) == bytes(tokens(deltas)[:-1]).decode()


async def test_what_was_asked_to_stop_stops(subject: Subject) -> None:
    whole = (await choices(subject.client, wanted(max_tokens=12)))[0]
    shown = text(whole)
    stop = shown[5:7]
    cut = (await choices(subject.client, wanted(max_tokens=12, stop=(stop,))))[0]
    assert (cut[-1].finish_reason, cut[-1].stop_reason) == ("stop", stop)
    assert text(cut) == shown[: shown.index(stop)]
    token = tokens(whole)[4]
    cut = (await choices(subject.client, wanted(max_tokens=12, stop_token_ids=(token,))))[0]
    assert (cut[-1].finish_reason, cut[-1].stop_reason) == ("stop", token)
    assert tokens(cut) == tokens(whole)[: tokens(whole).index(token) + 1]


async def test_an_answer_ends_where_the_context_does(subject: Subject) -> None:
    near = replace(wanted(max_tokens=None), prompt_token_ids=tuple(b"a" * (CONTEXT - 3)))
    *_, last = await outputs(subject.client, near)
    assert last.prompt_tokens == CONTEXT - 3
    assert last.deltas[-1].finish_reason == "length"


async def test_no_tokens_only_reads_the_prompt(subject: Subject) -> None:
    (output,) = await outputs(subject.client, wanted(max_tokens=0, n=2, prompt_logprobs=0))
    assert output.finished
    ends = [(delta.index, delta.text, delta.token_ids, delta.finish_reason) for delta in output.deltas]
    assert ends == [(0, "", (), "length"), (1, "", (), "length")]
    assert len(output.prompt_logprobs or ()) == len(PROMPT)


async def test_every_choice_of_several_ends_by_itself(subject: Subject) -> None:
    found = await choices(subject.client, wanted(n=3, ignore_eos=False, max_tokens=40))
    for deltas in found.values():
        reason = "stop" if tokens(deltas)[-1] == EOS else "length"
        assert deltas[-1].finish_reason == reason
        assert (len(deltas) == 40) is (reason == "length") or tokens(deltas)[-1] == EOS


async def test_the_same_request_gets_the_same_answer_alone_and_among_others(subject: Subject) -> None:
    requests = [wanted(f"r{i}", seed=i, max_tokens=4 + i) for i in range(4)]
    together = await asyncio.gather(*(choices(subject.client, one) for one in requests))
    for one, found in zip(requests, together, strict=True):
        assert tokens(found[0]) == tokens((await choices(subject.client, one))[0])


async def test_logprobs_are_of_each_token(subject: Subject) -> None:
    deltas = (await choices(subject.client, wanted(logprobs=2)))[0]
    for delta in deltas:
        (found,) = delta.logprobs
        assert (found.token_id,) == delta.token_ids
        assert found.logprob <= 0 and found.drawn_logprob <= 0
        likely = [logprob for _, logprob in found.top]
        assert len(likely) == 2
        assert likely == sorted(likely, reverse=True)
    none = (await choices(subject.client, wanted(logprobs=0)))[0]
    assert [len(delta.logprobs[0].top) for delta in none] == [0] * 6


async def test_a_prompt_is_scored_once(subject: Subject) -> None:
    first, *others = await outputs(subject.client, wanted(prompt_logprobs=2, n=2))
    assert all(output.prompt_logprobs is None for output in others)
    assert first.prompt_logprobs is not None and first.prompt_logprobs[0] is None
    assert [each.token_id for each in first.prompt_logprobs[1:] if each] == list(PROMPT[1:])
    assert all(len(each.top) == 2 for each in first.prompt_logprobs[1:] if each)


async def test_a_guided_answer_says_what_steering_cost(subject: Subject) -> None:
    guidance = Guidance({"cheerful": 1.0, "concise": 0.0}, beta=0.5, report=True)
    deltas = (await choices(subject.client, wanted(guidance=guidance)))[0]
    for delta in deltas:
        assert (delta.guidance is None) == (delta.finish_reason is None)
        (report,) = delta.reports
        assert (report.token_id,) == delta.token_ids
        assert delta.kl_nats == pytest.approx((report.steering_nats + report.truncation_nats,))
        assert set(report.values) == {"cheerful", "concise"}
    costs = [sum(d.reports[0].steering_nats for d in deltas), sum(d.reports[0].truncation_nats for d in deltas)]
    last = deltas[-1].guidance
    assert last is not None
    assert (last.tokens, last.beta, last.search) == (len(deltas), 0.5, None)
    assert set(last.values) == set(last.value_spread) == {"cheerful", "concise"}
    assert [last.steering_nats, last.truncation_nats] == pytest.approx(costs)
    assert (last.steering_nats >= 0, last.truncation_nats >= 0) == (True, True)


@pytest.mark.parametrize("weights", [{}, {"cheerful": 1.0, "concise": 0.0}])
async def test_given_answers_are_told_of_token_by_token(subject: Subject, weights: dict[str, float]) -> None:
    """Whatever they are, stop tokens inside them too; they count as scored."""
    given, before = ((EOS, 104, 105), (EOS,)), len(subject.steps)
    asked = replace(wanted(guidance=Guidance(weights), n=2, ignore_eos=False), answers=given)
    found = await choices(subject.client, asked)
    for answer, deltas in zip(given, found.values(), strict=True):
        assert tokens(deltas) == [report.token_id for delta in deltas for report in delta.reports] == list(answer)
        assert (deltas[-1].finish_reason, deltas[-1].stop_reason, text(deltas)) == ("length", None, "")
        assert all(set(delta.reports[0].values) == set(weights) for delta in deltas)
        assert (deltas[-1].guidance is None) == (not weights)
    counted = subject.steps[before:]
    assert (sum(s.scored_tokens for s in counted), sum(s.generation_tokens for s in counted)) == (4, 0)
    assert await subject.client.rewards(PROMPT, given) is None


async def test_the_recommended_beta_is_used_where_none_is_asked_for(subject: Subject) -> None:
    deltas = (await choices(subject.client, wanted(guidance=Guidance({"cheerful": 2.0}))))[0]
    recommended = {one.name: one.recommended_beta for one in subject.client.info.objectives}
    assert deltas[-1].guidance is not None
    assert deltas[-1].guidance.beta == recommended["cheerful"]
    assert deltas[-1].reports == ()
    plain = (await choices(subject.client, wanted(guidance=Guidance({"cheerful": 0.0}))))[0]
    assert plain[-1].guidance is None


async def test_a_search_says_at_its_end_what_it_did(subject: Subject) -> None:
    params = SearchParams("best_of", successors=3)
    request = wanted(guidance=Guidance({"cheerful": 1.0}, beta=0.5, search=params), max_tokens=60)
    task = asyncio.create_task(choices(subject.client, request))
    await until(lambda: subject.client.in_flight == 3)
    deltas = (await task)[0]
    assert [delta.guidance is None for delta in deltas] == [True] * (len(deltas) - 1) + [False]
    last = deltas[-1].guidance
    assert last is not None and last.search is not None
    assert (last.search.method, last.search.rounds, last.search.samples) == ("best_of", 1, 3)
    assert len(tokens(deltas)) == 60


async def test_a_structure_is_kept_to_or_refused_by_name(subject: Subject) -> None:
    if isinstance(subject.client, FakeEngine):
        pytest.skip("its script goes on whatever is asked for")
    form = Structure("json_schema", '{"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 2}')
    deltas = (await choices(subject.client, wanted(structure=form, max_tokens=40)))[0]
    assert json.loads(text(deltas)) in ([1, 1], [1, 2], [2, 1], [2, 2])
    assert deltas[-1].finish_reason == "stop"
    with pytest.raises(InvalidRequestError, match="unclosed group") as refusal:
        await outputs(subject.client, wanted(structure=Structure("regex", "(a")))
    assert refusal.value.param == "structure"


BAD: list[tuple[Request, str, str | None]] = [
    (wanted(guidance=Guidance({"joy": 1.0})), "unknown objective 'joy'; known: cheerful, concise", "objective_weights"),
    (
        wanted(guidance=Guidance({"concise": 5.0})),
        "objective_weights.concise=5: must be -4 to 4",
        "objective_weights.concise",
    ),
    (replace(wanted(), prompt_token_ids=()), "the prompt is empty", "prompt"),
    (
        replace(wanted(), prompt_token_ids=(1, VOCAB)),
        f"prompt: token id {VOCAB} is not from 0 to {VOCAB - 1}",
        "prompt",
    ),
    (replace(wanted(), prompt_token_ids=(1,) * CONTEXT), f"at most {CONTEXT - 1}", "messages"),
    (wanted(logit_bias={VOCAB: 1.0}), "logit_bias: token id 257", "logit_bias"),
    (wanted(n=PLACES + 1), "n takes 9 rows: this server has 8 places", "n"),
    (replace(wanted(n=9), answers=((1,),) * 9), "answers takes 9 rows: this server has 8 places", "answers"),
    (replace(wanted(n=2), answers=((1,), ())), "answers[1] has no tokens: must have at least one", "answers[1]"),
    (
        wanted(guidance=Guidance({"cheerful": 0.0}, search=SearchParams("best_of"))),
        "guidance.search: goes by objectives",
        "guidance.search",
    ),
]


@pytest.mark.parametrize(("request_", "message", "param"), BAD, ids=[param or "-" for *_, param in BAD])
async def test_a_bad_request_is_refused_by_name_and_leaves_nothing(
    subject: Subject, request_: Request, message: str, param: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        await outputs(subject.client, request_)
    assert message in str(caught.value)
    assert caught.value.param == param
    assert subject.client.in_flight == 0


async def test_an_id_in_flight_is_refused_and_the_first_goes_on(subject: Subject) -> None:
    first = subject.client.generate(wanted("twice", max_tokens=300))
    async with aclosing(first):
        await anext(first)
        with pytest.raises(InvalidRequestError, match="'twice' is in flight already") as caught:
            await outputs(subject.client, wanted("twice"))
        assert caught.value.param == "id"
        await anext(first)
        assert subject.client.in_flight == 1


async def test_a_full_queue_refuses_until_there_is_room(subject: Subject) -> None:
    many = subject.client.generate(wanted("many", n=PLACES, max_tokens=300))
    async with aclosing(many):
        await anext(many)
        assert subject.client.in_flight == PLACES
        with pytest.raises(QueueFullError, match=f"{PLACES} choices are in flight, the limit is {PLACES}"):
            await outputs(subject.client, wanted("late"))
    assert len(tokens((await choices(subject.client, wanted("late")))[0])) == 6


async def test_whoever_leaves_takes_the_request_along(subject: Subject) -> None:
    steps = subject.steps
    stream = subject.client.generate(LONG)
    await anext(stream)
    await stream.aclose()
    assert subject.client.in_flight == 0
    await until(lambda: steps[-1].idle)
    assert steps[-1] == StepStats(0, 0, 0, 0, 0, 0.0, 0.0, 0.0, idle=True)
    task = asyncio.create_task(outputs(subject.client, LONG))
    await until(lambda: not steps[-1].idle)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert subject.client.in_flight == 0
    await until(lambda: steps[-1].idle)
    assert len(tokens((await choices(subject.client, replace(LONG, sampling=wanted().sampling)))[0])) == 6


async def test_statistics_count_the_work(subject: Subject) -> None:
    """Of requests that run to their end, every token once, and the last step leaves nothing running."""
    del subject.steps[:]
    salted = [replace(wanted(f"r{i}", n=1 + i, max_tokens=5 + i), cache_salt=f"of its own {i}") for i in range(2)]
    await asyncio.gather(*(choices(subject.client, one) for one in salted))
    await until(lambda: subject.steps[-1].running == 0)
    working = [step for step in subject.steps if not step.idle]
    assert sum(step.generation_tokens for step in working) == 5 + 2 * 6
    assert sum(step.prompt_tokens for step in working) == sum(step.prefix_cache_queries for step in working)
    assert sum(step.prefix_cache_queries for step in working) == 2 * len(PROMPT)
    assert sum(step.prefix_cache_hits for step in working) == 0
    assert max(step.running for step in working) >= 2
    assert all(step.policy_forward_seconds > 0 for step in working)
    assert (working[-1].running, working[-1].waiting, working[-1].kv_cache_usage) == (0, 0, 0.0)


async def test_what_was_read_from_the_cache_was_not_computed(subject: Subject) -> None:
    await choices(subject.client, wanted())
    await until(lambda: subject.steps[-1].running == 0)
    del subject.steps[:]
    (first, *_) = await outputs(subject.client, wanted())
    await until(lambda: bool(subject.steps) and subject.steps[-1].running == 0)
    assert first.cached_tokens == sum(step.prefix_cache_hits for step in subject.steps) > 0
    assert sum(step.prompt_tokens for step in subject.steps) == len(PROMPT) - first.cached_tokens


async def changed(stream: AsyncGenerator[RequestOutput, None]) -> list[ChoiceDelta]:
    """Deltas up to the one that says that it is steered otherwise."""
    found: list[ChoiceDelta] = []
    async for output in stream:
        found += output.deltas
        if any(delta.change for delta in output.deltas):
            return found
    raise AssertionError("it never was")


async def test_a_running_request_is_steered_otherwise_from_the_token_that_is_told(subject: Subject) -> None:
    client, other = subject.client, Guidance({"concise": 2.0}, beta=3.0)
    running = client.generate(replace(LONG, guidance=Guidance({"cheerful": 1.0})))
    async with aclosing(running):
        first = await anext(running)
        (number,) = await client.steer("long", other)
        deltas = [*first.deltas, *await changed(running)]
        assert deltas[-1].change == SteeringChange(number, other, 3.0)
        assert number == len(tokens(deltas)) - 1
        assert all(len(delta.kl_nats) == 1 for delta in deltas)
        (later,) = await client.steer("long", Guidance())
        change = (await changed(running))[-1].change
        assert change is not None and (change.token, change.beta) == (later, 0.0)
        assert later > number
        with pytest.raises(UnknownObjectiveError, match="unknown objective 'rude'; known: cheerful, concise"):
            await client.steer("long", Guidance({"rude": 1.0}))
        await anext(running)
    with pytest.raises(UnknownRequestError, match="no request 'long' is being answered"):
        await client.steer("long", other)


async def test_further_companions_take_places_and_give_them_back(subject: Subject) -> None:
    client, words = subject.client, (PromptedObjective("short", tuple(b"briefly")),)
    running = client.generate(replace(LONG, sampling=replace(LONG.sampling, n=PLACES // 2 - 1)))
    async with aclosing(running):
        await anext(running)
        assert len(await client.steer("long", Guidance({"short": 1.0}), words)) == PLACES // 2 - 1
        assert client.in_flight == PLACES - 2
        await client.steer("long", Guidance({"short": 2.0}))
        assert client.in_flight == PLACES - 2
        more = (*words, PromptedObjective("kind", tuple(b"kindly")))
        with pytest.raises(QueueFullError):
            await client.steer("long", Guidance({"short": 1.0, "kind": 1.0}), more)
        assert client.in_flight == PLACES - 2
        await client.steer("long", Guidance({"short": 0.0, "cheerful": 1.0}))
        assert client.in_flight == PLACES // 2 - 1
    assert client.in_flight == 0


async def test_a_search_is_not_steered_otherwise(subject: Subject) -> None:
    searching = replace(LONG, guidance=Guidance({"cheerful": 1.0}, search=SearchParams("best_of", 1, 2)))
    task = asyncio.create_task(outputs(subject.client, searching))
    await until(lambda: subject.client.in_flight == 2)
    with pytest.raises(InvalidRequestError, match="cannot be steered otherwise") as caught:
        await subject.client.steer("long", Guidance({"cheerful": 2.0}))
    assert caught.value.param == "guidance.search"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_info_is_of_the_engine(subject: Subject) -> None:
    info = subject.client.info
    assert (info.max_model_len, info.vocab_size, info.dtype, info.device) == (CONTEXT, VOCAB, "float32", "cpu")
    assert [one.name for one in info.objectives] == ["cheerful", "concise"]
    assert info.kv_cache_tokens > 0 and info.kv_cache_bytes > 0
    assert subject.client.state == "ready"


async def test_values_come_and_go_while_requests_run(subject: Subject) -> None:
    client = subject.client
    before = client.info
    running = client.generate(replace(LONG, guidance=Guidance({"cheerful": 1.0}, beta=0.5)))
    async with aclosing(running):
        await anext(running)
        after = await client.load_value("somewhere/polite")
        assert after == client.info
        assert [one.name for one in after.objectives] == ["cheerful", "concise", "polite"]
        polite = await choices(client, wanted(guidance=Guidance({"polite": 1.0}, beta=0.5)))
        assert polite[0][-1].guidance is not None
        await anext(running)
        with pytest.raises(ValueConflictError):
            await client.load_value("somewhere/polite")
        with pytest.raises(LoadError, match="unfit: trained for another policy"):
            await client.load_value("somewhere/unfit")
        with pytest.raises(ValueConflictError, match="in use"):
            await client.unload_value(before.objectives[0].value)
        with pytest.raises(UnknownValueError, match="no value named 'nobody' is loaded"):
            await client.unload_value("nobody")
        assert client.info == after
        assert await client.unload_value("polite") == before
    with pytest.raises(InvalidRequestError, match="unknown objective 'polite'"):
        await outputs(client, wanted(guidance=Guidance({"polite": 1.0})))


async def refused(call: Awaitable[Any], why: str | None = None) -> None:
    with pytest.raises(EngineUnavailableError, match=why):
        await call


async def test_draining_refuses_and_closing_fails_what_is_left(subject: Subject) -> None:
    """The end of each client."""
    client = subject.client
    task = asyncio.create_task(outputs(client, LONG))
    await until(lambda: client.in_flight == 1)
    assert await client.drain(0.01) is False
    assert client.state == "draining"
    await refused(outputs(client, wanted("late")))
    await refused(client.load_value("somewhere/polite"))
    assert client.in_flight == 1
    await client.close()
    await refused(task)
    await refused(outputs(client, wanted("late")))
    await refused(client.unload_value("nobody"))
    assert (await client.drain(0.01), client.state, client.in_flight) == (True, "dead", 0)
    await client.close()


@pytest.fixture(params=["fake", "thread"])
async def other(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[EngineClient]:
    """One that a test has for itself, which loads nothing before it is started."""
    client: EngineClient = fake() if request.param == "fake" else real(EngineThread, folder)
    yield client
    await client.close()


async def test_while_loading_there_is_nothing_to_ask(other: EngineClient) -> None:
    if isinstance(other, FakeEngine):
        other.state = "loading"
    assert other.state == "loading"
    with pytest.raises(EngineUnavailableError, match="loading"):
        _ = other.info
    await refused(outputs(other, wanted()), "loading")
    await refused(other.load_value("somewhere/polite"), "loading")


async def test_a_drained_client_has_finished_everything(other: EngineClient) -> None:
    if isinstance(other, QueueClient):
        other.start()
        await other.wait_ready()
    task = asyncio.create_task(outputs(other, wanted(max_tokens=20)))
    await until(lambda: other.in_flight == 1)
    assert await other.drain(20) is True
    assert (await task)[-1].finished
