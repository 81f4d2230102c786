"""The transformer of an ``lm`` or ``q_lm``: built as its config says, or made to be trained, whole or through LoRA."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from mavis_core.api.errors import LoadError, RunError
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.model.model_source import local_or_hub
from mavis_core.model.policy import Policy
from value_models.identity import tokenizer_hash

OURS = ("small", "policy")
NOT_ARCHITECTURE = ("architectures", "dtype", "torch_dtype", "transformers_version", "_name_or_path", "use_cache")


@dataclass(frozen=True, slots=True)
class LmConfig:
    """What an ``lm`` or ``q_lm`` value starts from.

    Attributes:
        backbone: "small" is a fresh Llama that begins with the policy's embedding projected to ``hidden_size``,
            "policy" a copy of the policy, anything else a folder or hub id of a causal LM with the policy's tokenizer.
        hidden_size, layers: of "small".
        lora_rank: 0 trains every parameter; above, LoRA of that rank on all linear layers, merged on export.
        lora_alpha: its scale; default twice the rank.
    """

    backbone: str = "small"
    hidden_size: int = 128
    layers: int = 2
    lora_rank: int = 0
    lora_alpha: int | None = None

    def __post_init__(self) -> None:
        if self.hidden_size < 32 or self.hidden_size % 32:
            raise RunError(f"train.lm.hidden_size={self.hidden_size}: must be a multiple of 32")
        if self.layers < 1:
            raise RunError(f"train.lm.layers={self.layers}: must be at least 1")
        if self.lora_rank < 0 or (self.lora_rank and self.backbone == "small"):
            raise RunError(f"train.lm.lora_rank={self.lora_rank}: must be at least 0, and 0 for a fresh backbone")


def build_backbone(architecture: dict[str, Any]) -> Any:
    """A randomly initialised model: ``architecture`` is a transformers config with its model_type."""
    settings = dict(architecture)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    # transformers sets torch's default dtype, for every thread, to the one given here while it builds; another than
    # float32 would reach the engine that is running beside.
    return AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32)


def build_lm(architecture: dict[str, Any], objectives: int) -> tuple[Any, nn.Linear]:
    """A randomly initialised backbone and the readout of an ``lm``."""
    backbone = build_backbone(architecture)
    return backbone, nn.Linear(backbone.config.hidden_size, objectives)


def check_vocabulary(backbone: Any, policy: Policy) -> None:
    """That a backbone knows every token of the policy's. Raises ValueError."""
    if backbone.config.vocab_size < policy.vocab_size:
        raise ValueError(f"vocab_size={backbone.config.vocab_size}: the policy has {policy.vocab_size} tokens")


def check_backbone(config: LmConfig, tokenizer: Tokenizer) -> None:
    """That a backbone from elsewhere reads token ids as the policy does; before its weights are loaded.

    Raises:
        RunError: it has another tokenizer, or none.
    """
    if config.backbone in OURS:
        return
    try:
        theirs = AutoTokenizer.from_pretrained(local_or_hub(config.backbone), trust_remote_code=False)
    except (LoadError, OSError, ValueError) as error:
        raise RunError(f"train.lm.backbone={config.backbone!r}: {error}") from error
    if tokenizer_hash(theirs) != tokenizer_hash(tokenizer):
        raise RunError(f"train.lm.backbone={config.backbone!r}: its tokenizer is not the policy's")


def untrained(policy: Policy, config: LmConfig) -> Any:
    """The backbone to train; the caller seeds torch.

    Raises:
        RunError: the backbone does not load, has fewer tokens than the policy or another tokenizer.
    """
    if config.backbone == "small":
        backbone = build_backbone(small(policy, config.hidden_size, config.layers))
        weight = backbone.embed_tokens.weight.data
        weight.copy_(principal(policy.readout.weight, config.hidden_size).to(weight))
        return backbone
    if policy.tokenizer is not None:
        check_backbone(config, policy.tokenizer)
    backbone = _policys_own(policy) if config.backbone == "policy" else _load(config.backbone)
    if backbone.config.vocab_size < policy.vocab_size:
        raise RunError(
            f"train.lm.backbone={config.backbone!r}: has {backbone.config.vocab_size} tokens, "
            f"the policy {policy.vocab_size}"
        )
    return _with_lora(backbone, config) if config.lora_rank else backbone


def merged(trained: nn.Module) -> tuple[dict[str, Any], nn.Module]:
    """Architecture and backbone as a value folder holds them, LoRA merged into the weights."""
    backbone: Any = copy.deepcopy(trained).cpu()
    if hasattr(backbone, "merge_and_unload"):
        backbone = backbone.merge_and_unload()
    settings = backbone.config.to_diff_dict()
    kept = {name: value for name, value in settings.items() if name not in NOT_ARCHITECTURE}
    return {"model_type": backbone.config.model_type, **kept}, backbone.float()


def small(policy: Policy, hidden: int, layers: int) -> dict[str, Any]:
    """A small Llama over the policy's vocabulary and context."""
    config = policy.backbone.config
    return {
        "model_type": "llama",
        "vocab_size": policy.vocab_size,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // 32,
        "num_key_value_heads": 1,
        "max_position_embeddings": policy.backbone.max_positions,
        "pad_token_id": config.pad_token_id,
        "bos_token_id": config.bos_token_id,
        "eos_token_id": config.eos_token_id,
    }


def principal(embedding: Tensor, width: int) -> Tensor:
    """The policy's embedding (V, D) on its first ``width`` principal directions, zeros beyond D: (V, width) float32,
    scaled to the standard deviation 0.02 of a fresh embedding.
    """
    centred = embedding.detach().float() - embedding.detach().float().mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    projected = centred @ directions[:width].T
    projected = nn.functional.pad(projected, (0, width - projected.shape[1]))
    return projected / projected.std() * 0.02


def _policys_own(policy: Policy) -> Any:
    backbone = copy.deepcopy(policy.backbone.base).requires_grad_(True).train()
    backbone.set_attn_implementation("sdpa")  # type: ignore[operator]
    return backbone


def _load(path: str) -> Any:
    try:
        return AutoModel.from_pretrained(local_or_hub(path), trust_remote_code=False, use_safetensors=True)
    except (LoadError, OSError, ValueError, SafetensorError) as error:
        raise RunError(f"train.lm.backbone={path!r}: {error}") from error


def _with_lora(backbone: Any, config: LmConfig) -> Any:
    from peft import LoraConfig, get_peft_model

    alpha = config.lora_alpha or 2 * config.lora_rank
    settings = LoraConfig(r=config.lora_rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear")
    return get_peft_model(backbone, settings)
