"""The policy: the frozen base model with its output layer, tokenizer and generation defaults."""

from __future__ import annotations

import struct
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from mavis_core.api.errors import ConfigError, LoadError
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.model.answer_ends import answer_ends
from mavis_core.model.dtype import settle
from mavis_core.model.logit_scaling import LogitScaling
from mavis_core.model.model_source import ModelSource
from mavis_core.model.packed_linear import packed_output
from mavis_core.model.paged_model import PagedModel

GENERATION_FIELDS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
READ_ERRORS = (OSError, ValueError, KeyError, IndexError, NotImplementedError, SafetensorError, struct.error)
"""What transformers raises over files that it cannot read."""


def resolve_device(device: str) -> torch.device:
    """``device`` as torch means it; "auto" is the GPU where there is one, else the CPU.

    Raises:
        ConfigError: this machine, or this build of torch, has no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)  # a device that can be named need not be there
    except (AssertionError, ImportError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]  # CUDA adds a page of advice below the first line
        raise ConfigError(f"device={device!r}: {reason}") from error
    return found


def read_tokenizer(path: str) -> Tokenizer:
    """A policy's tokenizer without its weights.

    Raises:
        LoadError: naming the path.
    """
    return _tokenizer(path, ModelSource.find(path).reached())


def _tokenizer(path: str, source: ModelSource) -> Tokenizer:
    try:
        found: Tokenizer = AutoTokenizer.from_pretrained(**source.arguments)
    except READ_ERRORS as error:
        raise LoadError(f"{path}: {error}") from error
    if not hasattr(found, "backend_tokenizer"):
        raise LoadError(f"{path}: its tokenizer ({type(found).__name__}) is a slow one: a tokenizer.json is needed")
    return found


def forget_gguf(model: Any) -> None:
    """A model read from GGUF as the plain model that it is by now: transformers would not save it otherwise."""
    for owner, name in ((model.config, "quantization_config"), (model, "hf_quantizer")):
        if hasattr(owner, name):
            delattr(owner, name)


class Policy:
    """A loaded base model.

    Args:
        model: a transformers causal LM, on its device, in its dtype.
        tokenizer: its tokenizer, or None for token-only use (tests, rollouts on ids).
        name: what messages call it.

    Raises:
        LoadError: the architecture is not supported, or its logits are not what ``LogitScaling`` makes of a linear
            output layer.
    """

    def __init__(self, model: Any, tokenizer: Tokenizer | None, name: str) -> None:
        self.model = model
        self.backbone = PagedModel(model, name)
        self.tokenizer = tokenizer
        self.name = name
        self.readout = self.output = model.get_output_embeddings()
        self.scaling = LogitScaling.of(self.backbone.config)
        self.vocab_size = int(self.readout.weight.shape[0])
        self.generation: Any = getattr(model, "generation_config", None) or GenerationConfig()
        self.backbone.probe()
        self._probe_readout(model)

    @classmethod
    def load(cls, path: str, device: torch.device, dtype: torch.dtype | str, name: str | None = None) -> Policy:
        """Load from what ``ModelSource`` finds, to be known as ``name``; never runs code from the checkpoint.

        Args:
            dtype: "auto" is as the model was saved, see ``settle``.

        Raises:
            LoadError: naming the path and what is wrong with it.
        """
        source = ModelSource.find(path).reached()
        try:
            model, loading = AutoModelForCausalLM.from_pretrained(
                dtype=dtype, use_safetensors=True, output_loading_info=True, **source.arguments
            )
        except READ_ERRORS as error:
            raise LoadError(f"{path}: {error}") from error
        if loading["missing_keys"]:  # transformers fills them with random numbers
            missing = ", ".join(sorted(loading["missing_keys"]))
            raise LoadError(f"{path}: has no weights for {missing}; is it a causal LM?")
        tokenizer = _tokenizer(path, source)
        if source.gguf is not None:
            forget_gguf(model)
            vocab_size = model.get_output_embeddings().weight.shape[0]
            model.generation_config.eos_token_id = answer_ends(source.gguf_path(), tokenizer, vocab_size) or None
        if dtype == "auto":
            model = settle(model, device, source.gguf is not None)
        return cls(model.to(device), tokenizer, name or path)

    def quantize(self, kind: str) -> None:
        """All but embedding and output layer, in place; see ``quantization``. Raises LoadError."""
        self.backbone.quantize(kind)

    def pack(self, rounded: bool = False) -> None:
        """Lay out the weights for a CPU, in place; elsewhere nothing. No gradients after it. See ``packed_linear``.

        Args:
            rounded: to float16, where the product has a layout for that.
        """
        self.backbone.pack(rounded)
        self.output = packed_output(self.readout, rounded)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.readout.weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.readout.weight.dtype
        return dtype

    @property
    def max_model_len(self) -> int:
        """What the positions allow."""
        return self.backbone.max_positions

    @property
    def stop_token_ids(self) -> tuple[int, ...]:
        """EOS ids of the generation config, else of the tokenizer."""
        found = self.generation.eos_token_id
        if found is None:
            found = getattr(self.tokenizer, "eos_token_id", None)
        if found is None:
            return ()
        return tuple(found) if isinstance(found, (list, tuple)) else (int(found),)

    @property
    def sampling_defaults(self) -> dict[str, float]:
        """What the checkpoint's generation_config.json sets of ``SamplingParams``' fields."""
        stated = self.generation.to_diff_dict()
        return {name: stated[name] for name in GENERATION_FIELDS if stated.get(name) is not None}

    def logits(self, hidden: Tensor) -> Tensor:
        """Raw logits: hidden (B, D) -> (B, V) float32."""
        return self.scaling(self.output(hidden).float())

    @torch.inference_mode()
    def _probe_readout(self, model: Any) -> None:
        tokens = torch.arange(1, 6, device=self.device) % self.vocab_size
        theirs = model(input_ids=tokens[None], use_cache=False).logits[0, -1].float()
        ours = self.logits(self.backbone.forward_plain(tokens)[-1:])[0]
        error = float((ours - theirs).norm() / theirs.norm().clamp_min(1e-6))
        if not error <= 5e-2:
            raise LoadError(
                f"{self.name}: its logits differ from output layer x last hidden state by {error:.2g}; "
                f"this {self.backbone.config.model_type} model rescales its logits in a way that is not supported"
            )
