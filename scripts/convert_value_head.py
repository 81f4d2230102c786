"""A value head from hidden state to vocabulary, published as ``.bin`` beside a language model, as a ``q_lm`` folder.

    python -m scripts.convert_value_head --policy MODEL --backbone FOLDER --head value_head.bin \
      --objective helpful --out values/helpful

The server reads safetensors only. ``.bin`` is a pickle, which may run code when it is read; here torch is told to read
plain tensors and refuses everything else. Run this by hand, once, and serve the folder that it writes.

Such a head gives a raw reward R of every next token. The value is (R - mean) / std, which is written into the matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Annotated, Any

import torch
import typer
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModel

from mavis_core.api.errors import LoadError
from mavis_core.model.policy import Policy, read_tokenizer
from value_models.folders import load_value
from value_models.identity import identify, tokenizer_hash
from value_models.kinds.lm_backbone import merged
from value_models.kinds.q_lm import save_q_lm
from value_models.kinds.vocabulary_readout import MatrixReadout
from value_models.prompts import file_hash
from value_models.value_config import ObjectiveConfig, ValueConfig


def read_bin(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.bin`` by name, of a checkpoint those under ``state_dict``; nothing in it is executed."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, UnpicklingError) as error:
        raise typer.BadParameter(f"--head {path}: {str(error).splitlines()[0]}") from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping):
        raise typer.BadParameter(f"--head {path}: must be tensors by name, is a {type(found).__name__}")
    return {name: each for name, each in found.items() if isinstance(each, Tensor)}


def pick(tensors: Mapping[str, Tensor], key: str | None, dimensions: int, option: str) -> Tensor | None:
    """The tensor called ``key``, or the only one of so many dimensions; None where there is none."""
    listed = ", ".join(f"{name} {tuple(each.shape)}" for name, each in tensors.items()) or "no tensors"
    if key is not None:
        if key not in tensors:
            raise typer.BadParameter(f"{option} {key}: the file has {listed}")
        return tensors[key].float()
    able = [each for each in tensors.values() if each.dim() == dimensions]
    if len(able) > 1:
        raise typer.BadParameter(f"{option} is needed: the file has {listed}")
    return able[0].float() if able else None


def read_backbone(path: str, policy: Policy) -> Any:
    """The model that the head reads, as transformers loads it, with the policy's tokenizer."""
    if policy.tokenizer is None or tokenizer_hash(read_tokenizer(path)) != tokenizer_hash(policy.tokenizer):
        raise typer.BadParameter(f"--backbone {path}: its tokenizer is not the policy's")
    try:
        return AutoModel.from_pretrained(path, trust_remote_code=False, dtype=torch.float32)
    except (OSError, ValueError, SafetensorError, UnpicklingError) as error:
        raise typer.BadParameter(f"--backbone {path}: {error}") from error


def readout_of(weight: Tensor | None, bias: Tensor | None, backbone: Any, mean: float, std: float) -> MatrixReadout:
    """The head as a readout of z-units: weight (V, D'), bias (V,) or None."""
    vocab, hidden = backbone.config.vocab_size, backbone.config.hidden_size
    if weight is None or tuple(weight.shape) != (vocab, hidden):
        got = "none" if weight is None else tuple(weight.shape)
        raise typer.BadParameter(
            f"--weight: must be (tokens, hidden size) of the backbone, {(vocab, hidden)}, is {got}"
        )
    if bias is not None and tuple(bias.shape) != (vocab,):
        raise typer.BadParameter(f"--bias: must be ({vocab},), is {tuple(bias.shape)}")
    readout = MatrixReadout(1, hidden, vocab)
    shift = (weight.new_zeros(vocab) if bias is None else bias) - mean
    readout.rows.data[:, 0] = torch.cat((weight, shift[:, None]), dim=1) / std
    return readout


def main(
    policy: Annotated[str, typer.Option(help="folder or hub id of the model that is to be steered")],
    backbone: Annotated[str, typer.Option(help="folder or hub id of the language model that the head reads")],
    head: Annotated[Path, typer.Option(help=".bin with the head's tensors")],
    objective: Annotated[str, typer.Option(help="what requests call it")],
    out: Annotated[Path, typer.Option(help="folder of the value, which must not be there")],
    description: Annotated[str | None, typer.Option(help="for people")] = None,
    weight: Annotated[str | None, typer.Option(help="name of the matrix in the file; default: the only one")] = None,
    bias: Annotated[str | None, typer.Option(help="name of the bias; default: the only vector, if any")] = None,
    reward_mean: Annotated[float, typer.Option(help="of the raw reward on the policy's own answers")] = 0.0,
    reward_std: Annotated[float, typer.Option(help="likewise, above 0")] = 1.0,
    beta: Annotated[float, typer.Option(help="recommended strength")] = 1.0,
) -> None:
    """Read, check, write, and load what was written as the server does."""
    if out.exists():
        raise typer.BadParameter(f"--out {out}: is there already")
    if not reward_std > 0:
        raise typer.BadParameter(f"--reward-std {reward_std}: must be above 0")
    try:
        steered = Policy.load(policy, torch.device("cpu"), torch.float32)
        model = read_backbone(backbone, steered)
        tensors = read_bin(head)
        matrix, vector = pick(tensors, weight, 2, "--weight"), pick(tensors, bias, 1, "--bias")
        readout = readout_of(matrix, vector, model, reward_mean, reward_std)
        described = ObjectiveConfig(objective, description or objective, reward_mean, reward_std, beta)
        training = {"converted_from": head.name, "hash": file_hash(head), "backbone": Path(backbone).name}
        config = ValueConfig("q_lm", (described,), identify(steered), {}, training)
        save_q_lm(out, config, *merged(model), readout)
        load_value(out, steered)
    except LoadError as error:
        raise typer.BadParameter(str(error)) from error
    print(f"mavis serve --model {policy} --values {out}")


if __name__ == "__main__":
    typer.run(main)
