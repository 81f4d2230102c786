from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mavis_core.model import dtype
from mavis_core.model.dtype import cpu_has_bfloat16, resolve_dtype, rounds_weights
from mavis_core.model.policy import Policy
from tests.models import save_byte_llama, tiny_model

CPU, GPU = torch.device("cpu"), torch.device("cuda")
OLD = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_fp16\n"


@pytest.fixture
def cpu_info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(dtype, "CPU_INFO", path)
    return path


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (OLD, False),
        (OLD.replace("avx2", "avx2 avx512_bf16"), True),
        (OLD.replace("avx2", "avx2 amx_bf16"), True),
        ("Features\t: fp asimd i8mm bf16 dgh\n", True),
        ("Features\t: fp asimd\n", False),
        ("", False),
    ],
)
def test_instructions_are_read_off_what_linux_says(cpu_info: Path, text: str, found: bool) -> None:
    cpu_info.write_text(text)
    assert cpu_has_bfloat16() == found


def test_elsewhere_there_are_none(cpu_info: Path) -> None:
    assert not cpu_has_bfloat16()


def test_names(cpu_info: Path) -> None:
    cpu_info.write_text(OLD)
    assert resolve_dtype("auto", CPU) is torch.float32
    assert resolve_dtype("auto", GPU) == "auto"
    assert resolve_dtype("bfloat16", CPU) is torch.bfloat16
    assert resolve_dtype("float16", CPU) is torch.float32
    assert resolve_dtype("float16", GPU) is torch.float16
    cpu_info.write_text("Features: bf16\n")
    assert resolve_dtype("auto", CPU) == "auto"
    assert resolve_dtype("float32", CPU) is torch.float32


def test_weights_are_rounded_where_that_is_asked_for_and_for_gguf_where_bfloat16_would_be_slow(cpu_info: Path) -> None:
    cpu_info.write_text(OLD)
    assert rounds_weights("float16", CPU, from_gguf=False)
    assert rounds_weights("auto", CPU, from_gguf=True)
    assert not rounds_weights("auto", CPU, from_gguf=False)
    assert not rounds_weights("float32", CPU, from_gguf=True)
    assert not rounds_weights("float16", GPU, from_gguf=True)
    cpu_info.write_text("Features: bf16\n")
    assert not rounds_weights("auto", CPU, from_gguf=True)


@pytest.mark.parametrize("saved", [torch.float32, torch.bfloat16, torch.float16])
def test_auto_keeps_float32_and_serves_anything_narrower_in_bfloat16(tmp_path: Path, saved: torch.dtype) -> None:
    save_byte_llama(tmp_path)
    tiny_model("llama").to(saved).save_pretrained(tmp_path)
    policy = Policy.load(str(tmp_path), CPU, "auto")
    assert policy.dtype == (torch.float32 if saved == torch.float32 else torch.bfloat16)
    assert {parameter.dtype for parameter in policy.model.parameters()} == {policy.dtype}


def test_logits_are_float32_whatever_the_model_is_in() -> None:
    policy = Policy(tiny_model("llama").to(torch.bfloat16), None, "narrow")
    hidden = policy.backbone.forward_plain(torch.tensor([3, 5, 7]))
    assert hidden.dtype == torch.bfloat16
    assert policy.logits(hidden).dtype == torch.float32
