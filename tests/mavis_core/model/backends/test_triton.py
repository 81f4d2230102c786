"""The kernels against attention written plainly in float64: for real on a GPU, by Triton's interpreter on a CPU.

On a CPU they run where TRITON_INTERPRET=1 was set before anything imported triton, as ``test_interpreted`` does it.
Tiles are made as small as they can be, so that short rows have several parts and K candidates several tiles.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

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
from tests.models import HIDDEN, VOCAB, assert_idle, objective, tiny_model
from value_models.kinds.lm import LmValue

CUDA = torch.cuda.is_available()
if not CUDA and os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("there is no CUDA device", allow_module_level=True)
pytest.importorskip("triton")
from mavis_core.model.backends import newest, triton  # noqa: E402
from mavis_core.model.backends.triton import launch  # noqa: E402

pytestmark = pytest.mark.gpu
DEVICE = torch.device("cuda" if CUDA else "cpu")
HEADS, KV_HEADS = 6, 2
LENGTHS = [41, 2]
SINKS = torch.randn(HEADS, generator=torch.Generator().manual_seed(8))
SPECS = {
    "plain": AttentionSpec(0.4),
    "window": AttentionSpec(0.4, window=19),
    "window of one": AttentionSpec(0.4, window=1),
    "wide window": AttentionSpec(0.4, window=100),
    "cap": AttentionSpec(0.4, softcap=0.7),
    "sinks": AttentionSpec(0.4, sinks=SINKS.to(DEVICE)),
    "all": AttentionSpec(0.4, window=23, softcap=0.5, sinks=SINKS.to(DEVICE)),
}
each_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
TOLERANCE = {torch.float32: 2e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
KINDS = {
    "float32": (torch.float32, 5, 3),
    "bfloat16": (torch.bfloat16, 80, 16),
    "float16": (torch.float16, 32, 7),
}
each_kind = pytest.mark.parametrize(("dtype", "dim", "block"), KINDS.values(), ids=KINDS)


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "TILE_BYTES", 1)
    monkeypatch.setattr(launch, "ACCUMULATED", 1)


class Rows:
    """Two rows over shuffled blocks; whatever is not theirs is NaN, in the blocks that they hold too."""

    def __init__(self, dtype: torch.dtype, dim: int, block: int) -> None:
        self.generator = torch.Generator().manual_seed(3)
        self.dtype, self.dim = dtype, dim
        counts = [-(-(length + 1) // block) for length in LENGTHS]
        self.pool = KVPool(CacheSpec(1, KV_HEADS, dim), sum(counts) + 2, block, dtype, DEVICE)
        self.pool.data.fill_(torch.nan)
        shuffled = torch.randperm(sum(counts) + 2, generator=self.generator).tolist()
        blocks = [shuffled[: counts[0]], shuffled[counts[0] : sum(counts)]]
        table = [row + [self.pool.padding] * (max(counts) + 1 - len(row)) for row in blocks]
        self.table = torch.tensor(table, device=DEVICE)
        self.kept = [self.random(length, 2, KV_HEADS) for length in LENGTHS]
        for row, entries in enumerate(self.kept):
            self.pool.write(0, self.slots(row, 0, LENGTHS[row]), entries[:, 0], entries[:, 1])

    def random(self, *shape: int) -> Tensor:
        return torch.randn(*shape, self.dim, generator=self.generator).to(device=DEVICE, dtype=self.dtype)

    def new(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of so many tokens, laid out as transformers does it: heads first."""
        query, key, value = (self.random(heads, count).transpose(0, 1) for heads in (HEADS, KV_HEADS, KV_HEADS))
        return query, key, value

    def slots(self, row: int, start: int, stop: int) -> Tensor:
        at, block = torch.arange(start, stop, device=DEVICE), self.pool.block_size
        found: Tensor = self.table[row, at // block] * block + at % block
        return found

    def lengths(self, more: int = 0) -> Tensor:
        return torch.tensor(LENGTHS, device=DEVICE) + more

    def entry(self, key: Tensor, value: Tensor) -> Tensor:
        return torch.stack((key, value))[None]

    def stored(self, row: int) -> Tensor:
        """What the pool holds at the position behind a row."""
        found: Tensor = self.pool.data[0].flatten(0, 1)[self.slots(row, LENGTHS[row], LENGTHS[row] + 1)]
        return found

    def check(self, found: Tensor, query: Tensor, seen: Tensor, spec: AttentionSpec) -> None:
        assert found.dtype == self.dtype
        bound = TOLERANCE[self.dtype]
        torch.testing.assert_close(found.double().cpu(), plain(query, seen, spec), rtol=bound, atol=bound)


def plain(query: Tensor, kept: Tensor, spec: AttentionSpec) -> Tensor:
    """One query (H, D) over (T, 2, H_kv, D), head by head, in float64."""
    query, kept = query.double().cpu(), kept.double().cpu()
    found = []
    for head in range(HEADS):
        keys, values = kept[-(spec.window or len(kept)) :, :, head // (HEADS // KV_HEADS)].unbind(1)
        scores = keys @ query[head] * spec.scale
        if spec.softcap is not None:
            scores = spec.softcap * torch.tanh(scores / spec.softcap)
        total = scores.exp().sum() + (0 if spec.sinks is None else spec.sinks[head].double().cpu().exp())
        found.append(scores.exp() @ values / total)
    return torch.stack(found)


@pytest.fixture(params=["one part", "parts"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Parts, and how many were asked for."""
    counts = []

    def count(*args: int) -> int:
        counts.append(1 if request.param == "one part" else split_count(*args))
        return counts[-1]

    split_count = launch.split_count
    monkeypatch.setattr(launch, "split_count", count)
    monkeypatch.setattr(launch, "processors", lambda device: 8)
    yield
    assert counts and (request.param == "one part" or max(counts) <= 3)


def decoded(rows: Rows, spec: AttentionSpec) -> None:
    query, key, value = rows.new(2)
    step = newest(triton, rows.pool, rows.table, rows.lengths(1), max(LENGTHS) + 1)
    found = step.attend(0, query, key, value, spec)
    for row in range(2):
        own = rows.entry(key[row], value[row])
        rows.check(found[row], query[row], torch.cat((rows.kept[row], own)), spec)
        assert torch.equal(rows.stored(row), own), "is stored behind the row"


@each_spec
def test_decoding_sees_the_row_and_its_new_token(spec: AttentionSpec, parts: None) -> None:
    decoded(Rows(*KINDS["float32"]), spec)


@each_kind
def test_numbers_of_16_bits_and_other_shapes_decode(dtype: torch.dtype, dim: int, block: int) -> None:
    decoded(Rows(dtype, dim, block), SPECS["all"])


def side_by_side(rows: Rows, width: int, spec: AttentionSpec) -> None:
    query, key, value = rows.new(2 * width)
    step = triton.siblings(rows.pool, rows.table, rows.lengths(), max(LENGTHS), width)
    before = rows.pool.data.clone()
    found = step.attend(0, query, key, value, spec)
    assert torch.equal(rows.pool.data.nan_to_num(7), before.nan_to_num(7)), "nothing is stored until one is kept"
    for at in range(2 * width):
        own = rows.entry(key[at], value[at])
        rows.check(found[at], query[at], torch.cat((rows.kept[at // width], own)), spec)
    chosen = [width - 1, 0]
    step.keep(torch.tensor(chosen, device=DEVICE))
    for row, index in enumerate(chosen):
        at = row * width + index
        assert torch.equal(rows.stored(row), rows.entry(key[at], value[at]))


@each_spec
def test_siblings_see_the_row_and_themselves(spec: AttentionSpec, parts: None) -> None:
    side_by_side(Rows(*KINDS["float32"]), 7, spec)  # of three heads each: two tiles of queries


def test_as_many_siblings_as_rows() -> None:
    side_by_side(Rows(*KINDS["float32"]), 2, SPECS["plain"])


@each_kind
def test_siblings_of_16_bits_and_other_shapes(dtype: torch.dtype, dim: int, block: int) -> None:
    side_by_side(Rows(dtype, dim, block), 3, SPECS["all"])


def in_chunks(rows: Rows, ends: tuple[int, ...], spec: AttentionSpec) -> None:
    """The long row read anew, part by part, a whole short one beside its first chunk."""
    query, start = rows.random(LENGTHS[0], HEADS), 0
    short = rows.random(LENGTHS[1], HEADS)
    rows.pool.data.fill_(torch.nan)
    for end in ends:
        kept = rows.kept[0][start:end]
        slots = rows.slots(0, start, end)
        chunks = [Chunk(0, end - start, start, rows.table[:1, : -(-end // rows.pool.block_size)])]
        asked = query[start:end]
        if not start:
            chunks.append(Chunk(end, end + LENGTHS[1], 0, rows.table[1:, :1]))
            slots = torch.cat((slots, rows.slots(1, 0, LENGTHS[1])))
            kept, asked = torch.cat((kept, rows.kept[1])), torch.cat((asked, short))
        found = triton.prefill(rows.pool, slots, chunks).attend(0, asked, kept[:, 0], kept[:, 1], spec)
        assert found.shape == asked.shape
        for at in range(start, end):
            rows.check(found[at - start], query[at], rows.kept[0][: at + 1], spec)
        if not start:
            for at in range(LENGTHS[1]):
                rows.check(found[end + at], short[at], rows.kept[1][: at + 1], spec)
        start = end


@each_spec
def test_a_chunk_sees_what_was_read_before_it_and_itself_up_to_each_token(spec: AttentionSpec) -> None:
    in_chunks(Rows(*KINDS["float32"]), (18, 20, LENGTHS[0]), spec)


@each_kind
def test_chunks_of_16_bits_and_other_shapes(dtype: torch.dtype, dim: int, block: int) -> None:
    in_chunks(Rows(dtype, dim, block), (LENGTHS[0],), SPECS["all"])


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
        (40, 64, torch.float32, (64, 64, 64)),
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
    rows, spec = Rows(*KINDS["bfloat16"]), SPECS["all"]
    query, key, value = rows.new(2)
    length, slots = torch.ones(2, dtype=torch.int64, device=DEVICE), torch.zeros(2, dtype=torch.int64, device=DEVICE)

    def step() -> Tensor:
        made = triton.decode(rows.pool, slots, rows.table, length, torch.empty(0, device=DEVICE))
        return made.attend(0, query, key, value, spec)

    slots.copy_(torch.stack([rows.slots(row, n, n + 1)[0] for row, n in enumerate(LENGTHS)]))
    step()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    length.copy_(rows.lengths(1))
    for there, new in zip((query, key, value), rows.new(2), strict=True):
        there.copy_(new)
    graph.replay()
    for row in range(2):
        own = rows.entry(key[row], value[row])
        rows.check(found[row], query[row], torch.cat((rows.kept[row], own)), spec)
        assert torch.equal(rows.stored(row), own)


def answers(backend: str, architecture: str) -> list[Any]:
    """Of a policy and an LM of that architecture: guided and not, chunked prompts, rows that decode beside them."""
    make = tiny_model if architecture == "llama" else special_model
    policy = Policy(make(architecture).to(DEVICE), None, architecture)
    torch.manual_seed(4)
    value = LmValue("lm", [objective("e"), objective("f")], make(architecture, 5), torch.nn.Linear(HIDDEN, 2))
    config = EngineConfig(block_size=3, max_num_seqs=3, max_num_batched_tokens=13, attention_backend=backend)
    engine = Engine(policy, [value], config)
    prompts = [[3 + (5 * i) % (VOCAB - 3) for i in range(19)], [7, 9]]
    samplings = [SamplingParams(seed=i, max_tokens=4, ignore_eos=True) for i in range(2)]
    guidances = [Guidance({"e": 1.0, "f": -0.7}, beta=0.8, top_k=5), Guidance()]
    found = generate(engine, prompts, samplings, guidances)
    assert_idle(engine)
    return [choices[0].token_ids for choices in found]


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt_oss"])
def test_an_engine_draws_the_tokens_of_the_reference(architecture: str) -> None:
    assert answers("triton", architecture) == answers("sdpa", architecture)
