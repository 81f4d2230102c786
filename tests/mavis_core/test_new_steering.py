"""Answers steered otherwise while they are written: from the next token on the slow loop's, and to nobody's harm."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import InvalidRequestError, UnknownObjectiveError, UnknownRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ChoiceDelta, Request
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.reference import ReferenceRow, reference_generate
from tests.mavis_core.test_isolation import in_words, requests
from tests.models import assert_idle, mixed_values, request, tiny_policy

POLICY, VALUES = tiny_policy("llama"), mixed_values("llama")
PROMPT = [5, 9, 14, 7, 30]
WORDS = {
    "pirate": PromptedObjective("pirate", (41, 42, 43, *PROMPT)),
    "calm": PromptedObjective("calm", (44, 45, 41, 52, 60, 3, 17, *PROMPT)),
}
AT, LENGTH = 20, 25


def guidance(weights: dict[str, float], **more: Any) -> Guidance:
    return Guidance(weights, **{"beta": 1.5, "top_k": 9, "report": True, "allow_empty": True, **more})


@dataclass(frozen=True)
class Case:
    """Steering before and after, and how answers are drawn."""

    before: Guidance
    after: Guidance
    sampling: dict[str, Any] = field(default_factory=dict)

    def request(self, name: str) -> Request:
        sampling = SamplingParams(
            **{"n": 2, "max_tokens": LENGTH, "seed": 7, "ignore_eos": True, "logprobs": 0, **self.sampling}
        )
        return replace(request(name, PROMPT, sampling, self.before), prompted=words(self.before))


def words(steering: Guidance) -> tuple[PromptedObjective, ...]:
    return tuple(objective for name, objective in WORDS.items() if name in steering.weights)


CASES = {
    "other weights": Case(guidance({"a": 2.0, "b": -1.0}), guidance({"a": -2.0, "b": 1.5})),
    "other strength": Case(guidance({"a": 1.0}), guidance({"a": 1.0}, beta=4.0), {"repetition_penalty": 1.3}),
    "a budget": Case(guidance({"b": 3.0, "c": 2.0}), guidance({"b": 3.0, "c": 2.0}, max_kl_per_token=0.05)),
    "steered no more": Case(guidance({"a": 2.0}), guidance({})),
    "by an LM no more": Case(guidance({"c": 2.0}), guidance({}), {"temperature": 0.7}),
    "steered at all": Case(guidance({}), guidance({"b": 2.0, "a": 1.0}), {"top_p": 0.9}),
    "steered by an LM at all": Case(guidance({}), guidance({"c": 2.0, "d": -1.0})),
    "from heads to an LM": Case(guidance({"a": 2.0}), guidance({"d": 2.0}), {"presence_penalty": 0.4}),
    "from an LM to another": Case(guidance({"d": 2.0}), guidance({"e": 2.0, "a": 1.0})),
    "words weigh more": Case(guidance({"pirate": 1.0}), guidance({"pirate": -2.0, "a": 0.5})),
    "words at all": Case(guidance({}), guidance({"pirate": 2.0}), {"n": 3}),
    "more words": Case(guidance({"calm": 1.0, "c": 1.0}), guidance({"pirate": 2.0, "calm": 1.0, "c": 1.0})),
    "fewer words": Case(guidance({"pirate": 2.0, "calm": 1.0}), guidance({"calm": 2.0, "b": 1.0})),
    "no words more": Case(guidance({"calm": 1.0}), guidance({}), {"temperature": 0}),
}


def engine(**config: Any) -> Engine:
    defaults: dict[str, Any] = {"block_size": 3, "max_num_seqs": 61, "max_num_batched_tokens": 97}
    return Engine(POLICY, VALUES, EngineConfig(**{**defaults, **config}))


@dataclass
class Run:
    """Deltas by request and choice, the token from which each is steered otherwise, how often rows were preempted."""

    deltas: dict[tuple[str, int], list[ChoiceDelta]] = field(default_factory=dict)
    points: dict[tuple[str, int], int] = field(default_factory=dict)
    preempted: int = 0

    def tokens(self, name: str, choice: int = 0) -> list[int]:
        return [token for delta in self.deltas.get((name, choice), ()) for token in delta.token_ids]

    def step(self, target: Engine) -> None:
        for output in target.step():
            assert output.error is None, output.error
            for delta in output.deltas:
                self.deltas.setdefault((output.request_id, delta.index), []).append(delta)
        self.preempted += target.last_step.preemptions if target.last_step else 0

    def steer(self, target: Engine, name: str, steering: Guidance) -> None:
        for choice, point in enumerate(target.steer(name, steering, words(steering))):
            self.points[name, choice] = point


def answered(target: Engine, asked: Sequence[Request], changes: dict[str, Guidance]) -> Run:
    """All answers; each of ``changes`` is made as soon as the first choice of its request has ``AT`` tokens."""
    run, left = Run(), dict(changes)
    for one in asked:
        target.add(one)
    while target.has_work:
        run.step(target)
        for name in [name for name in left if len(run.tokens(name)) >= AT]:
            run.steer(target, name, left.pop(name))
    assert not left
    assert_idle(target)
    return run


@cache
def unchanged() -> Run:
    return answered(engine(), [case.request(name) for name, case in CASES.items()], {})


@cache
def slow_loop(name: str, choice: int, point: int) -> ReferenceRow:
    """The unchanged answer up to ``point``, from there on as the case steers it afterwards."""
    after, before = CASES[name].after, unchanged().tokens(name, choice)[:point]
    sampling, beta = CASES[name].request(name).sampling, after.beta or 0.0
    return reference_generate(POLICY, VALUES, PROMPT, sampling, after, beta, choice, words(after), resumed=before)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"max_num_batched_tokens": 23, "max_num_seqs": 23, "block_size": 1},
        {"enable_chunked_prefill": False, "max_num_batched_tokens": 89, "enable_prefix_caching": False},
        {"kv_cache_tokens": 240, "max_num_seqs": 17},
    ],
    ids=["together", "in small chunks", "whole", "preempted"],
)
def test_the_rest_is_drawn_as_the_new_steering_says(config: dict[str, Any]) -> None:
    """Up to the change the tokens of the unchanged run; from there on the slow loop's, and its KL."""
    asked = [case.request(name) for name, case in CASES.items()]
    run = answered(engine(**config), asked, {name: case.after for name, case in CASES.items()})
    assert (run.preempted > 0) == ("kv_cache_tokens" in config)
    differ = 0
    for one in asked:
        case = CASES[one.id]
        for choice in range(one.sampling.n):
            tokens, point = run.tokens(one.id, choice), run.points[one.id, choice]
            before = unchanged().tokens(one.id, choice)
            assert tokens[:point] == before[:point], one.id
            assert len(tokens) == LENGTH
            wanted = slow_loop(one.id, choice, point)
            assert tokens == wanted.tokens, one.id
            differ += tokens != before
            deltas = run.deltas[one.id, choice]
            assert [i for i, delta in enumerate(deltas) if delta.change] == [point]
            change = deltas[point].change
            assert change is not None
            assert (change.token, change.guidance) == (point, case.after)
            steering = [report.steering_nats for delta in deltas[point:] for report in delta.reports]
            assert steering == pytest.approx(wanted.steering, abs=2e-4)
    assert differ > len(CASES)


def test_tokens_up_to_the_twentieth_are_those_of_the_unchanged_run_and_no_further_ones() -> None:
    """Figure B as it is written."""
    case = CASES["other weights"]
    run = answered(engine(), [case.request("r")], {"r": case.after})
    plain = answered(engine(), [case.request("r")], {})
    assert run.points["r", 0] == AT
    assert run.tokens("r")[:AT] == plain.tokens("r")[:AT]
    assert run.tokens("r")[AT:] != plain.tokens("r")[AT:]


@pytest.mark.parametrize("name", CASES)
def test_neighbours_do_not_notice_to_the_last_bit(name: str) -> None:
    """Their tokens, log-probabilities, KL and values: beside an answer that changes as beside one that does not."""
    neighbours = [
        Case(guidance({"a": 1.0, "c": 1.0}), guidance({})).request("heads and LM"),
        Case(guidance({}), guidance({})).request("plain"),
        Case(guidance({"calm": 1.0}), guidance({})).request("words"),
    ]
    asked = [CASES[name].request("changed"), *neighbours]
    run, plain = (answered(engine(), asked, change) for change in ({"changed": CASES[name].after}, {}))
    same_batch = words(CASES[name].before) == words(CASES[name].after)
    for one in neighbours:
        for choice in range(2):
            for found, wanted in zip(run.deltas[one.id, choice], plain.deltas[one.id, choice], strict=True):
                assert found == wanted if same_batch else found.token_ids == wanted.token_ids


def test_what_steering_did_is_told_of_all_tokens() -> None:
    """Sums over both stretches; of each objective the mean over the tokens that it was named for."""
    case = Case(guidance({"a": 2.0, "pirate": 1.0}), guidance({"a": 1.0, "b": 1.0}))
    run = answered(engine(), [case.request("r")], {"r": case.after})
    deltas = run.deltas["r", 0]
    reports, stats = [report for delta in deltas for report in delta.reports], deltas[-1].guidance
    assert stats is not None
    assert stats.tokens == len(reports) == LENGTH
    assert stats.steering_nats == pytest.approx(sum(report.steering_nats for report in reports))
    for name, named in (("a", reports), ("pirate", reports[:AT]), ("b", reports[AT:])):
        assert all(name in report.values for report in named)
        assert stats.values[name] == pytest.approx(sum(report.values[name] for report in named) / len(named))
    short = Case(case.before, case.after, {"max_tokens": AT})
    until_then = answered(engine(), [short.request("r")], {}).deltas["r", 0][-1].guidance
    assert until_then is not None and stats.companion_tokens == until_then.companion_tokens > 0


def test_what_was_guided_once_is_still_told_once_it_is_not() -> None:
    run = answered(engine(), [CASES["steered no more"].request("r")], {"r": guidance({})})
    deltas = run.deltas["r", 0]
    last = deltas[-1].guidance
    assert last is not None
    assert (last.tokens, last.beta) == (AT, 0.0)
    assert not any(delta.reports for delta in deltas[AT:])


def test_before_the_first_token_it_counts_from_the_start() -> None:
    case = CASES["steered by an LM at all"]
    target, run = engine(max_num_batched_tokens=2, max_num_seqs=2), Run()
    target.add(case.request("waits"))
    run.steer(target, "waits", guidance({"c": 1.0}))
    target.step()
    run.steer(target, "waits", case.after)
    while target.has_work:
        run.step(target)
    other = answered(engine(), [replace(case.request("r"), guidance=case.after)], {})
    assert run.points == {("waits", 0): 0, ("waits", 1): 0}
    for choice in range(2):
        assert run.tokens("waits", choice) == other.tokens("r", choice)
        first = run.deltas["waits", choice][0]
        assert first.change is not None and first.change.guidance == case.after


def test_further_companions_leave_less_room() -> None:
    """Context 128: an answer beside a prompt of 100 tokens has 28; back without it, all that was asked for."""
    long = PromptedObjective("x", (3,) * 100)
    for room, later in ((28, None), (60, guidance({"a": 1.0}))):
        target, run = engine(), Run()
        target.add(request("r", PROMPT, SamplingParams(max_tokens=60, seed=1, ignore_eos=True)))
        while target.has_work:
            run.step(target)
            if len(run.tokens("r")) == 10:
                target.steer("r", guidance({"x": 1.0}), (long,))
            if len(run.tokens("r")) == 20 and later:
                target.steer("r", later, ())
        assert len(run.tokens("r")) == room
        assert run.deltas["r", 0][-1].finish_reason == "length"
    target.add(request("r", PROMPT, SamplingParams(max_tokens=60, seed=1, ignore_eos=True)))
    for _ in range(40):
        target.step()
    with pytest.raises(InvalidRequestError, match="leaves 28 tokens for the answer: 40 are there already"):
        target.steer("r", guidance({"x": 1.0}), (long,))


def test_what_a_request_may_not_ask_for_a_change_may_not_either() -> None:
    """And what is refused changes nothing."""
    case = CASES["other weights"]
    target, run = engine(max_num_seqs=2), Run()
    target.add(replace(case.request("r"), sampling=SamplingParams(max_tokens=LENGTH, seed=7, ignore_eos=True)))
    with pytest.raises(UnknownRequestError, match="no request 'other' is being answered"):
        target.steer("other", case.after)
    for _ in range(5):
        run.step(target)
    with pytest.raises(UnknownObjectiveError, match="known: a, b, c, d"):
        target.steer("r", guidance({"z": 1.0}))
    with pytest.raises(InvalidRequestError, match="2 objectives in words take 3 places"):
        target.steer("r", guidance({"pirate": 1.0, "calm": 1.0}), tuple(WORDS.values()))
    while target.has_work:
        run.step(target)
    assert run.tokens("r") == unchanged().tokens("other weights")
    with pytest.raises(UnknownRequestError):
        target.steer("r", case.after)


def random_steering(one: Request, choose: random.Random) -> tuple[Guidance, tuple[PromptedObjective, ...]]:
    names = choose.sample("abcde", choose.choice([0, 0, 1, 2, 4]))
    weights = {name: choose.uniform(-3, 3) for name in names}
    plain = replace(
        one.guidance, weights=weights, beta=choose.uniform(0.1, 3), max_kl_per_token=choose.choice([None, 0.2])
    )
    made = replace(one, guidance=plain, prompted=())
    if choose.random() < 0.4:
        made = in_words(made, choose)
    return made.guidance, made.prompted


def test_a_thousand_changes_under_load_leave_nothing_behind() -> None:
    """Joins, aborts, forks, companions, too few blocks; whoever was left alone has the tokens of a quiet engine."""
    choose, run, changes, aborted = random.Random(4), Run(), 0, 0
    target = engine(kv_cache_tokens=230, max_num_seqs=23, block_size=5)
    touched: set[str] = set()
    asked: dict[str, Request] = {}
    while changes < 1000:
        for one in requests(len(asked) + 1)[:: choose.choice([1, 3])] if len(target._rows) < 16 else ():
            asked[one.id] = one
            target.add(one)
        run.step(target)
        for name in choose.sample(sorted(target._rows), min(16, len(target._rows))):
            if name.endswith(("0", "5")):
                continue
            touched.add(name)
            if choose.random() < 0.04:
                target.abort(name)
                aborted += 1
                continue
            target.steer(name, *random_steering(asked[name], choose))
            changes += 1
    while target.has_work:
        run.step(target)
    assert_idle(target)
    assert run.preempted > 1 and aborted > 9
    quiet = [one for name, one in asked.items() if name not in touched][:20]
    assert len(quiet) > 9
    alone = answered(engine(), quiet, {})
    for one in quiet:
        for choice in range(one.sampling.n):
            assert run.tokens(one.id, choice) == alone.tokens(one.id, choice), one.id
