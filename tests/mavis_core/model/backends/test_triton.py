"""The kernels against attention written plainly in float64: for real on a GPU, by Triton's interpreter on a CPU.

On a CPU they run where TRITON_INTERPRET=1 was set before anything imported triton, as ``test_interpreted`` does it. A
program takes the interpreter 30 ms, so there what the others cover is left out. Tiles are made as small as they can be:
rows of a few tokens have several parts then, and a few candidates several tiles. A GPU computes with its own, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from mavis_core.api.config import EngineConfig
from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.model.attention import Chunk
from mavis_core.model.attention_spec import AttentionSpec
from mavis_core.model.kv_pool import CacheSpec, KVPool
from mavis_core.model.policy import Policy
from mavis_core.offline import generate
from tests.architectures import special_model
from tests.models import VOCAB, assert_idle, objective, tiny_model
from value_models.kinds.lm import LmValue

CUDA = torch.cuda.is_available()
if not CUDA and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("there is no CUDA device", allow_module_level=True)
pytest.importorskip("triton")
from mavis_core.model.backends import newest, triton  # noqa: E402
from mavis_core.model.backends.triton import launch  # noqa: E402

pytestmark = pytest.mark.gpu
DEVICE = torch.device("cuda" if CUDA else "cpu")
on_a_gpu = pytest.mark.skipif(not CUDA, reason="the interpreter is slow, and others cover it")
SINKS = torch.tensor([0.3, -1.2, 0.5, 2.0], device=DEVICE)
PLAIN, ALL = AttentionSpec(0.4), AttentionSpec(0.4, window=23, softcap=0.5, sinks=SINKS)
SPECS = [
    pytest.param(PLAIN, id="plain"),
    pytest.param(ALL, id="all"),
    pytest.param(AttentionSpec(0.4, window=19), id="window", marks=on_a_gpu),
    pytest.param(AttentionSpec(0.4, window=1), id="window of one"),
    pytest.param(AttentionSpec(0.4, window=100), id="wide window", marks=on_a_gpu),
    pytest.param(AttentionSpec(0.4, softcap=0.7), id="cap", marks=on_a_gpu),
    pytest.param(AttentionSpec(0.4, sinks=SINKS), id="sinks", marks=on_a_gpu),
]
SMALL = (torch.float32, 5, 3)  # numbers, head dim, block
SHAPES = [
    pytest.param((torch.bfloat16, 80, 16), id="bfloat16"),
    pytest.param((torch.float16, 32, 7), id="float16"),
    pytest.param((torch.float32, 128, 16), id="float32", marks=on_a_gpu),
    pytest.param((torch.bfloat16, 256, 16), id="wide", marks=on_a_gpu),
]
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


@pytest.fixture(autouse=True, params=["small", "own"] if CUDA else ["small"])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "small":
        monkeypatch.setattr(launch, "TILE_BYTES", 1)
        monkeypatch.setattr(launch, "ACCUMULATED", 1)


@pytest.fixture(autouse=True)
def nan_where_nothing_was_stored() -> Iterator[None]:
    """New tensors are filled with NaN; so a part that no program has stored must not be read."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True)
def products_of_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter keeps bfloat16 as the integers of its bits, and multiplies matrices of those."""
    if CUDA:
        return
    from triton.runtime.interpreter import TensorHandle, interpreter_builder, tl

    def floats(handle: Any) -> Any:
        if handle.dtype.scalar != tl.bfloat16:
            return handle
        return TensorHandle((handle.data.astype("uint32") << 16).view("float32"), tl.float32)

    create_dot = interpreter_builder.create_dot
    monkeypatch.setattr(interpreter_builder, "create_dot", lambda a, b, *rest: create_dot(floats(a), floats(b), *rest))


class Rows:
    """Rows over shuffled blocks; whatever is not theirs is NaN, in the blocks that they hold too."""

    def __init__(
        self, dtype: torch.dtype, dim: int, block: int, lengths: Sequence[int] = (41, 2), heads: int = 4, kv: int = 2
    ) -> None:
        self.generator = torch.Generator().manual_seed(3)
        self.dtype, self.dim, self.heads, self.kv, self.lengths = dtype, dim, heads, kv, list(lengths)
        counts = [-(-(length + 1) // block) for length in lengths]
        self.pool = KVPool(CacheSpec(1, kv, dim), sum(counts) + 2, block, dtype, DEVICE)
        self.pool.data.fill_(torch.nan)
        free = torch.randperm(sum(counts) + 2, generator=self.generator).tolist()
        blocks = [[free.pop() for _ in range(count)] for count in counts]
        table = [row + [self.pool.padding] * (max(counts) + 1 - len(row)) for row in blocks]
        self.table = torch.tensor(table, device=DEVICE)
        self.length = torch.tensor(self.lengths, device=DEVICE)
        self.kept = [self.random(length, 2, kv) for length in lengths]
        for row, entries in enumerate(self.kept):
            self.pool.write(0, self.slots(row, 0, self.lengths[row]), entries[:, 0], entries[:, 1])

    def random(self, *shape: int) -> Tensor:
        return torch.randn(*shape, self.dim, generator=self.generator).to(device=DEVICE, dtype=self.dtype)

    def new(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of so many tokens, laid out as transformers does it: heads first."""
        query, key, value = (self.random(heads, count).transpose(0, 1) for heads in (self.heads, self.kv, self.kv))
        return query, key, value

    def slots(self, row: int, start: int, stop: int) -> Tensor:
        at, block = torch.arange(start, stop, device=DEVICE), self.pool.block_size
        found: Tensor = self.table[row, at // block] * block + at % block
        return found

    def stored(self, row: int) -> Tensor:
        """What the pool holds at the position behind a row."""
        at = self.slots(row, self.lengths[row], self.lengths[row] + 1)
        found: Tensor = self.pool.data[0].flatten(0, 1)[at]
        return found

    def check(self, found: Tensor, query: Tensor, seen: Tensor, spec: AttentionSpec) -> None:
        assert found.dtype == self.dtype
        bound = TOLERANCE[self.dtype]
        torch.testing.assert_close(found.double().cpu(), plain(query, seen, spec), rtol=bound, atol=bound)


def entry(key: Tensor, value: Tensor) -> Tensor:
    return torch.stack((key, value))[None]


def plain(query: Tensor, kept: Tensor, spec: AttentionSpec) -> Tensor:
    """One query (H, D) over (T, 2, H_kv, D), head by head, in float64."""
    query, kept = query.double().cpu(), kept.double().cpu()
    groups = len(query) // kept.shape[2]
    found = []
    for head in range(len(query)):
        keys, values = kept[-(spec.window or len(kept)) :, :, head // groups].unbind(1)
        scores = keys @ query[head] * spec.scale
        if spec.softcap is not None:
            scores = spec.softcap * torch.tanh(scores / spec.softcap)
        total = scores.exp().sum() + (0 if spec.sinks is None else spec.sinks[head].double().cpu().exp())
        found.append(scores.exp() @ values / total)
    return torch.stack(found)


def decode(rows: Rows, spec: AttentionSpec) -> None:
    count = len(rows.lengths)
    query, key, value = rows.new(count)
    step = newest(triton, rows.pool, rows.table, rows.length + 1, max(rows.lengths) + 1)
    found = step.attend(0, query, key, value, spec)
    for row in range(count):
        own = entry(key[row], value[row])
        rows.check(found[row], query[row], torch.cat((rows.kept[row], own)), spec)
        assert torch.equal(rows.stored(row), own), "is stored behind the row"


@pytest.mark.parametrize("spec", SPECS)
def test_decoding_sees_the_row_and_its_new_token(spec: AttentionSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    """In two parts, of which the short row fills the first to its end and no more."""
    monkeypatch.setattr(launch, "split_count", lambda *_: 2)
    decode(Rows(*SMALL, lengths=(41, 16)), spec)


def test_a_row_in_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "split_count", lambda *_: 1)
    decode(Rows(*SMALL, lengths=[18]), PLAIN)


@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_of_16_bits_and_other_shapes_decode(shape: tuple[torch.dtype, int, int]) -> None:
    decode(Rows(*shape), ALL)


def side_by_side(rows: Rows, width: int, spec: AttentionSpec) -> None:
    query, key, value = rows.new(len(rows.lengths) * width)
    step = triton.siblings(rows.pool, rows.table, rows.length, max(rows.lengths), width)
    before = rows.pool.data.clone()
    found = step.attend(0, query, key, value, spec)
    assert torch.equal(rows.pool.data.nan_to_num(7), before.nan_to_num(7)), "nothing is stored until one is kept"
    for at in range(len(query)):
        own = entry(key[at], value[at])
        rows.check(found[at], query[at], torch.cat((rows.kept[at // width], own)), spec)
    chosen = [width - 1 - row for row in range(len(rows.lengths))]
    step.keep(torch.tensor(chosen, device=DEVICE))
    for row, index in enumerate(chosen):
        at = row * width + index
        assert torch.equal(rows.stored(row), entry(key[at], value[at]))


@pytest.mark.parametrize(
    "spec", [AttentionSpec(0.4, window=19), *(pytest.param(*s.values, marks=on_a_gpu) for s in SPECS)]
)
def test_siblings_see_the_row_and_themselves(spec: AttentionSpec) -> None:
    side_by_side(Rows(*SMALL), 2, spec)


def test_siblings_of_several_tiles() -> None:
    """Two heads of nine candidates are 18 queries of a KV head."""
    side_by_side(Rows(*SMALL, heads=2, kv=1), 9, PLAIN)


@on_a_gpu
@pytest.mark.parametrize("shape", SHAPES)
def test_siblings_of_16_bits_and_other_shapes(shape: tuple[torch.dtype, int, int]) -> None:
    side_by_side(Rows(*shape), 40, ALL)


def in_chunks(rows: Rows, ends: Sequence[int], spec: AttentionSpec) -> None:
    """The long row read anew, part by part, a whole short one beside its first chunk."""
    long, short = rows.kept
    query, beside = rows.random(len(long), rows.heads), rows.random(len(short), rows.heads)
    rows.pool.data.fill_(torch.nan)
    start = 0
    for end in ends:
        slots, kept, asked = rows.slots(0, start, end), long[start:end], query[start:end]
        chunks = [Chunk(0, end - start, start, rows.table[:1, : -(-end // rows.pool.block_size)])]
        if not start:
            chunks.append(Chunk(end, end + len(short), 0, rows.table[1:, :1]))
            slots = torch.cat((slots, rows.slots(1, 0, len(short))))
            kept, asked = torch.cat((kept, short)), torch.cat((asked, beside))
        found = triton.prefill(rows.pool, slots, chunks).attend(0, asked, kept[:, 0], kept[:, 1], spec)
        assert found.shape == asked.shape
        for at in range(start, end):
            rows.check(found[at - start], query[at], long[: at + 1], spec)
        for at in range(0 if start else len(short)):
            rows.check(found[end + at], beside[at], short[: at + 1], spec)
        start = end


@pytest.mark.parametrize("spec", SPECS)
def test_a_chunk_sees_what_was_read_before_it_and_itself_up_to_each_token(spec: AttentionSpec) -> None:
    in_chunks(Rows(*SMALL, lengths=(36, 2), heads=2, kv=1) if spec.sinks is None else Rows(*SMALL), (17, 20, 36), spec)


@pytest.mark.parametrize("shape", SHAPES)
def test_chunks_of_16_bits_and_other_shapes(shape: tuple[torch.dtype, int, int]) -> None:
    in_chunks(Rows(*shape, lengths=(17, 2)), [17], ALL)


@pytest.mark.parametrize(
    ("programs", "tokens", "expected"),
    [(4, 4096, 32), (4, 100, 2), (264, 4096, 1), (64, 4096, 5), (1, 1, 1), (5000, 9, 1), (3, 0, 1)],
)
def test_a_row_is_split_until_the_gpu_is_full(programs: int, tokens: int, expected: int) -> None:
    assert launch.split_count(programs, tokens, 64, 132) == expected


@pytest.mark.parametrize(
    ("queries", "dim", "dtype", "expected"),
    [
        (1, 128, torch.bfloat16, (16, 64, 128)),
        (320, 128, torch.bfloat16, (64, 64, 128)),
        (320, 256, torch.bfloat16, (32, 32, 256)),
        (8, 80, torch.float16, (16, 64, 128)),
        (40, 64, torch.float32, (16, 64, 64)),
        (40, 512, torch.float32, (16, 16, 512)),
        (3, 5, torch.float32, (16, 64, 16)),
    ],
)
def test_tiles_fit_into_a_gpu(
    queries: int, dim: int, dtype: torch.dtype, expected: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    assert launch.Tiles.of(queries, dim, dtype) == launch.Tiles(*expected)


@pytest.mark.skipif(not CUDA, reason="there is no CUDA device")
def test_a_cuda_graph_holds_a_decode_step() -> None:
    """Captured over two short rows, then replayed with other tokens over longer ones."""
    rows = Rows(torch.bfloat16, 80, 16)
    query, key, value = rows.new(2)
    length = torch.ones(2, dtype=torch.int64, device=DEVICE)
    slots = torch.cat([rows.slots(row, count, count + 1) for row, count in enumerate(rows.lengths)])

    def step() -> Tensor:
        made = triton.decode(rows.pool, slots, rows.table, length, torch.empty(0, device=DEVICE))
        return made.attend(0, query, key, value, ALL)

    step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    length.copy_(rows.length + 1)
    for there, new in zip((query, key, value), rows.new(2), strict=True):
        there.copy_(new)
    graph.replay()
    for row in range(2):
        own = entry(key[row], value[row])
        rows.check(found[row], query[row], torch.cat((rows.kept[row], own)), ALL)
        assert torch.equal(rows.stored(row), own)


def smallest(seed: int = 0) -> Any:
    """A Llama of one layer whose two heads share keys and values."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": 10, "intermediate_size": 7, "vocab_size": VOCAB, "max_position_embeddings": 64}
    heads = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 6}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads, initializer_range=0.5)).eval()


def answers(backend: str, make: Any, tokens: int) -> list[list[int]]:
    """Of a policy and an LM: guided and not, prompts in chunks, rows that decode beside them."""
    policy = Policy(make(0).to(DEVICE), None, "policy")
    torch.manual_seed(4)
    model = make(5)
    value = LmValue("lm", [objective("e"), objective("f")], model, torch.nn.Linear(model.config.hidden_size, 2))
    config = EngineConfig(block_size=3, max_num_seqs=3, max_num_batched_tokens=11, attention_backend=backend)
    engine = Engine(policy, [value], config)
    prompts = [[7, 9], [3 + (5 * i) % (VOCAB - 3) for i in range(14)]]
    samplings = [SamplingParams(seed=i, max_tokens=tokens, ignore_eos=True) for i in range(2)]
    guidances = [Guidance({"e": 1.0, "f": -0.7}, beta=0.8, top_k=2), Guidance()]
    found = generate(engine, prompts, samplings, guidances)
    assert_idle(engine)
    return [choices[0].token_ids for choices in found]


@pytest.mark.skipif(CUDA, reason="there are larger ones")
def test_an_engine_draws_the_tokens_of_the_reference() -> None:
    assert answers("triton", smallest, 3) == answers("sdpa", smallest, 3)


@on_a_gpu
@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt_oss"])
def test_windows_caps_and_sinks_draw_the_tokens_of_the_reference(architecture: str) -> None:
    def make(seed: int) -> Any:
        return tiny_model(architecture, seed) if architecture == "llama" else special_model(architecture, seed)

    assert answers("triton", make, 12) == answers("sdpa", make, 12)
