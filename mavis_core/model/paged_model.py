"""A causal LM of transformers run over paged KV, as the policy and every value with a backbone are.

Loading refuses by name what paged attention would get silently wrong, then proves the rest: one short prompt
through transformers' own forward and through ours must give the same hidden state, and the sliding windows that the
layers ask for must be those of the config, since a short prompt does not reach beyond them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mavis_core.api.errors import LoadError
from mavis_core.model.attention import ATTENTION, AttentionStep, Chunk
from mavis_core.model.attention_spec import AttentionSpec
from mavis_core.model.backends import AttentionBackend, newest, sdpa
from mavis_core.model.kv_pool import CacheSpec, KVPool
from mavis_core.model.packed_linear import pack
from mavis_core.model.quantization import quantize
from mavis_core.model.unsupported import refuse_unsupported
from mavis_core.model.windows import context_length, layer_windows

PROBE_BLOCK = 4
EXACT, ROUNDED = 1e-3, 0.3
"""How far the probe's hidden state may lie from transformers', over its norm, in float32 and in 16 bits or fewer.

In bfloat16 transformers' own state of SmolLM2-135M lies 0.11 from that in float32, and ours 0.08 from it; a token that
sees itself only, or positions that are off by one, make it 1.6.
"""


class PagedModel:
    """The transformer below the output layer.

    Args:
        model: a transformers causal LM in evaluation mode; its attention implementation is set to ours. Of one that
            reads more than text, the part that reads text.
        name: for messages.

    Raises:
        LoadError: the architecture is not supported.
    """

    def __init__(self, model: Any, name: str) -> None:
        config = model.config.get_text_config(decoder=True)
        refuse_unsupported(config, name)
        base = model.base_model if config is model.config else model.get_decoder()
        base.set_attn_implementation(ATTENTION)
        model.eval().requires_grad_(False)
        self.base: nn.Module = base
        self.config = config
        self.cache = CacheSpec.of(config)
        self.name = name
        self.quantized = False
        # transformers builds no masks of its own where it is given one; our attention reads none.
        self._no_mask = torch.empty(1, 1, 1, 1, dtype=torch.bool)

    @property
    def max_positions(self) -> int:
        return context_length(self.config)

    def forward(self, tokens: Tensor, positions: Tensor, attention: AttentionStep) -> Tensor:
        """One forward of N flattened tokens: tokens and positions (N,) int64 -> last hidden state (N, D)."""
        out = self.base(
            input_ids=tokens[None],
            position_ids=positions[None],
            attention_mask=self._no_mask,
            use_cache=False,
            kv_step=attention,
        )
        hidden: Tensor = out.last_hidden_state[0]
        return hidden

    def forward_plain(self, tokens: Tensor) -> Tensor:
        """transformers' own forward without a cache: tokens (T,) -> last hidden state (T, D); tests compare with it."""
        out = self.base(input_ids=tokens[None], use_cache=False)
        hidden: Tensor = out.last_hidden_state[0]
        return hidden

    def quantize(self, kind: str) -> None:
        """Replace the linear layers in place; see ``quantization``. Raises LoadError."""
        quantize(self.base, kind, self.name)
        self.quantized = True

    def pack(self, rounded: bool = False) -> None:
        """Lay out the weights for the CPU, in place; nothing elsewhere. See ``packed_linear``."""
        pack(self.base, rounded)

    @torch.inference_mode()
    def probe(self, backend: AttentionBackend = sdpa) -> None:
        """Prefill 6 tokens, decode a 7th, compare with transformers' own forward.

        Raises:
            LoadError: naming the model and the difference.
        """
        dtype = next(self.base.parameters()).dtype
        tokens = torch.arange(1, 8) % self.config.vocab_size
        try:
            ours, specs = self._probe_paged(tokens, backend)
            theirs = self.forward_plain(tokens.to(ours.device))[-1].float()
        except (LoadError, AttributeError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise LoadError(f"{self.name}: {self.config.model_type} is not supported: {reason}") from error
        asked, stated = [spec.window for spec in specs], layer_windows(self.config)
        if len(asked) != len(stated):
            raise LoadError(
                f"{self.name}: {self.config.model_type} is not supported: {len(stated) - len(asked)} of its "
                f"{len(stated)} layers do not go through transformers' attention interface"
            )
        if asked != stated:
            raise LoadError(
                f"{self.name}: {self.config.model_type} is not supported: its layers ask for sliding windows of "
                f"{asked}, its config says {stated}"
            )
        distance = float((ours - theirs).norm() / theirs.norm().clamp_min(1e-6))
        tolerance = EXACT if dtype == torch.float32 and not self.quantized else ROUNDED
        if not distance <= tolerance:
            raise LoadError(
                f"{self.name}: paged decoding differs from transformers' own forward by {distance:.2g} "
                f"(allowed {tolerance:g}); this {self.config.model_type} model is not supported"
            )

    def _probe_paged(self, tokens: Tensor, backend: AttentionBackend) -> tuple[Tensor, list[AttentionSpec]]:
        """The last hidden state (D,) float32 after all but one of the tokens and then that; what each layer asked."""
        parameter = next(self.base.parameters())
        device, count = parameter.device, len(tokens)
        tokens, positions = tokens.to(device), torch.arange(count, device=device)
        pool = KVPool(self.cache, 2, PROBE_BLOCK, parameter.dtype, device)
        table = torch.arange(2, device=device)[None]
        pool.clear(table[0])
        prefill = Overheard(backend.prefill(pool, positions[:-1], [Chunk(0, count - 1, 0, table)]))
        self.forward(tokens[:-1], positions[:-1], prefill)
        decode = newest(backend, pool, table, torch.tensor([count], device=device), count)
        return self.forward(tokens[-1:], positions[-1:], decode)[0].float(), prefill.specs


class Overheard:
    """A step that keeps what each layer asks of it: its number in ``numbers``, and ``specs``."""

    def __init__(self, step: AttentionStep) -> None:
        self._step = step
        self.numbers: list[int] = []
        self.specs: list[AttentionSpec] = []

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, spec: AttentionSpec) -> Tensor:
        self.numbers.append(layer)
        self.specs.append(spec)
        return self._step.attend(layer, query, key, value, spec)
