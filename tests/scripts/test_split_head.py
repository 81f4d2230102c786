"""A head of two objectives and the two heads it is split into say the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from mavis_core.model.policy import Policy
from scripts.shipped.split_head import main
from tests.models import HIDDEN, RANK, WIDTH, tiny_config
from tests.value_models.configs import value_config
from value_models.kinds.head import save_head
from value_models.kinds.head_network import HeadNetwork
from value_models.tensors import read_tensors
from value_models.value_config import ValueConfig


def test_each_objective_keeps_its_network_and_its_own_figures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    policy = Policy(LlamaForCausalLM(tiny_config("llama")).eval(), None, "tiny")
    config = value_config(policy, "a", "b")
    figures = {"held_out": {"a": 1, "b": 2}, "recommended_beta": {}, "seed": 3}
    network = HeadNetwork(2, HIDDEN, WIDTH, RANK)
    save_head(tmp_path / "both", replace(config, training=figures), network)
    main(tmp_path / "both", tmp_path / "heads")
    hidden, tokens = torch.randn(4, HIDDEN), torch.randn(7, HIDDEN)
    with torch.inference_mode():
        whole = network(hidden, network.read_tokens(tokens).expand(4, -1, -1, -1))
    for m, name in enumerate(("a", "b")):
        found = ValueConfig.load(tmp_path / "heads" / name)
        assert [o.name for o in found.objectives] == [name]
        assert found.training == {"held_out": {name: m + 1}, "recommended_beta": {}, "seed": 3}
        own = HeadNetwork(1, HIDDEN, WIDTH, RANK)
        own.load_state_dict(read_tensors(tmp_path / "heads" / name))
        with torch.inference_mode():
            alone = own(hidden, own.read_tokens(tokens).expand(4, -1, -1, -1))
        torch.testing.assert_close(alone[..., 0], whole[..., m])


def test_what_words_taught_is_as_strong_at_their_beta(tmp_path: Path) -> None:
    torch.manual_seed(0)
    policy = Policy(LlamaForCausalLM(tiny_config("llama")).eval(), None, "tiny")
    config = replace(value_config(policy, "told", "scored"), training={"words": {"told": "Be told."}})
    network = HeadNetwork(2, HIDDEN, WIDTH, RANK)
    torch.nn.init.normal_(network.state_out_bias)
    save_head(tmp_path / "both", config, network)
    main(tmp_path / "both", tmp_path / "heads")
    hidden, tokens = torch.randn(4, HIDDEN), torch.randn(7, HIDDEN)
    with torch.inference_mode():
        whole = network(hidden, network.read_tokens(tokens).expand(4, -1, -1, -1))
        for m, (name, beta) in enumerate((("told", 1.0), ("scored", 2.0))):
            found = ValueConfig.load(tmp_path / "heads" / name)
            assert found.objectives[0].recommended_beta == beta
            own = HeadNetwork(1, HIDDEN, WIDTH, RANK)
            own.load_state_dict(read_tensors(tmp_path / "heads" / name))
            alone = own(hidden, own.read_tokens(tokens).expand(4, -1, -1, -1))
            torch.testing.assert_close(beta * alone[..., 0], 2.0 * whole[..., m])
