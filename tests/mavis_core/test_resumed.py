"""A request that brings the beginning of its answer goes on as the one that drew it: nothing notices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import ContextLengthError, InvalidRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import Request
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.api.structure import Structure
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from tests.mavis_core.rows import admission
from tests.models import byte_tokenizer, mixed_values, run, text_policy, tiny_model, tiny_policy

PROMPT = (3, 5, 7, 11, 13)
LENGTH = 9


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"temperature": 0},
        {"min_tokens": 6, "logit_bias": {2: 3.0}},
        {"frequency_penalty": 1.5, "presence_penalty": 0.7, "repetition_penalty": 1.3},
        {"top_p": 0.8, "temperature": 1.4},
    ],
)
@pytest.mark.parametrize("weights", [{}, {"a": 1.0, "c": -0.8}])
def test_it_goes_on_as_if_it_had_drawn_them_itself(settings: dict[str, Any], weights: dict[str, float]) -> None:
    engine = Engine(tiny_policy("llama"), mixed_values("llama"), EngineConfig(block_size=3))
    sampling = SamplingParams(**({"max_tokens": LENGTH, "seed": 4} | settings))
    guidance = Guidance(weights, beta=0.7, top_k=11)
    engine.add(Request("whole", PROMPT, sampling, guidance))
    whole = run(engine)["whole"][0]
    assert len(whole) > 4
    for split in range(len(whole)):
        engine.add(Request(str(split), PROMPT, sampling, guidance, output_token_ids=tuple(whole[:split])))
    rest = run(engine)
    assert [rest[str(split)][0] for split in range(len(whole))] == [whole[split:] for split in range(len(whole))]


def test_every_choice_goes_on_from_them() -> None:
    engine = Engine(tiny_policy("llama"), mixed_values("llama"), EngineConfig(block_size=3))
    sampling = SamplingParams(n=3, max_tokens=LENGTH, seed=4, ignore_eos=True)
    engine.add(Request("forked", PROMPT, sampling, Guidance({"c": 1.0}, beta=0.5), output_token_ids=(17, 19)))
    forked = run(engine)["forked"]
    assert [len(forked[i]) for i in range(3)] == [LENGTH - 2] * 3
    assert len({tuple(tokens) for tokens in forked.values()}) == 3
    engine.add(Request("one", PROMPT, SamplingParams(max_tokens=LENGTH, seed=4, ignore_eos=True),
                       Guidance({"c": 1.0}, beta=0.5), output_token_ids=(17, 19)))  # fmt: skip
    assert run(engine)["one"][0] == forked[0]


@pytest.mark.parametrize("known", [0, 1, 7, 12])
def test_what_is_cached_of_it_is_read_and_only_the_prompt_is_told(known: int) -> None:
    """Blocks of 2: the prompt and the tokens that are there already are found as one text, a token left to compute."""
    engine = Engine(tiny_policy("llama"), mixed_values("llama"), EngineConfig(block_size=2))
    sampling, guidance = SamplingParams(max_tokens=13, seed=4, ignore_eos=True), Guidance({"c": 1.0}, beta=0.5)
    engine.add(Request("whole", PROMPT, sampling, guidance))
    whole = run(engine)["whole"][0]
    resumed = Request("rest", PROMPT, sampling, guidance, output_token_ids=tuple(whole[:known]))
    engine.add(resumed)
    (first,) = engine.step()
    assert engine.last_step is not None
    assert engine.last_step.prefix_cache_hits == (len(PROMPT) + known - 1) // 2 * 2
    assert first.cached_tokens == min(len(PROMPT), engine.last_step.prefix_cache_hits)
    rest = [*first.deltas[0].token_ids, *run(engine).get("rest", {0: []})[0]]
    assert rest == list(whole[known:])
    engine.add(replace(resumed, id="salted", cache_salt="s"))
    assert engine.step()[0].cached_tokens == 0


def byte_engine() -> Engine:
    tokenizer = byte_tokenizer()
    model = tiny_model("llama")
    model.resize_token_embeddings(len(tokenizer))
    return Engine(Policy(model, tokenizer, "bytes"), [], EngineConfig())


@pytest.mark.parametrize("before", [b"ab", b"x" * 70 + b"ab"])
def test_a_stop_string_may_begin_in_them(before: bytes) -> None:
    """Whose text was shown already: only what follows is sent, and the stop string is found across the seam."""
    engine = byte_engine()
    sampling = SamplingParams(max_tokens=75, stop=("abc",), logit_bias={ord("c"): 100.0}, seed=0)
    engine.add(Request("r", tuple(b"x"), sampling, Guidance(), output_token_ids=tuple(before)))
    (output,) = engine.step()
    (delta,) = output.deltas
    assert (delta.finish_reason, delta.stop_reason, delta.text) == ("stop", "abc", "")


@pytest.mark.parametrize("before", ["ñ".encode()[:1], b"y" * 40 + "ñ".encode()[:1]])
def test_a_character_may_begin_in_them(before: bytes) -> None:
    engine = byte_engine()
    last = "ñ".encode()[1]
    sampling = SamplingParams(max_tokens=len(before) + 1, logit_bias={last: 100.0}, seed=0)
    engine.add(Request("r", tuple(b"x"), sampling, Guidance(), output_token_ids=tuple(before)))
    (output,) = engine.step()
    assert output.deltas[0].text == "ñ"


@pytest.mark.parametrize("length", [0, 1, 7, 40])
def test_a_row_of_byte_tokens_may_begin_in_them(length: int) -> None:
    """One wrong byte changes the text of the whole row, however long: what it began with is read again."""
    policy = text_policy("byte_fallback")
    assert policy.tokenizer is not None
    backend = policy.tokenizer.backend_tokenizer
    byte, wrong = backend.token_to_id("<0x41>"), backend.token_to_id("<0xFF>")
    engine = Engine(policy, [], EngineConfig())
    sampling = SamplingParams(max_tokens=length + 1, logit_bias={wrong: 100.0}, seed=0)
    engine.add(Request("r", (260,), sampling, Guidance(), output_token_ids=(byte,) * length))
    (output,) = engine.step()
    assert output.deltas[0].text == "\ufffd" * (length + 1)


def test_it_must_leave_room() -> None:
    def rows(resumed: tuple[int, ...], **sampling: Any) -> None:
        admission(31).rows(
            Request("r", (3,) * 20, SamplingParams(seed=0, **sampling), Guidance(), output_token_ids=resumed)
        )

    rows((5,) * 10)
    with pytest.raises(ContextLengthError, match="31 tokens"):
        rows((5,) * 11)
    rows((5,) * 3, max_tokens=4)
    with pytest.raises(InvalidRequestError, match="4 tokens are there already: must be below max_tokens=4"):
        rows((5,) * 4, max_tokens=4)
    with pytest.raises(InvalidRequestError, match="output_token_ids: cannot be combined with structure"):
        rows((5,), structure=Structure("regex", "a"))
    with pytest.raises(InvalidRequestError, match="output_token_ids: token id 300"):
        rows((300,))
