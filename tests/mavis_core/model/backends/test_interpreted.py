"""Runs the tests of the Triton kernels on the CPU, in a process of their own.

Triton asks for its interpreter when it is first imported, and what it decorates then stays interpreted; nothing else
that imports it in the same process may be touched by that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import ConfigError
from mavis_core.engine import Engine
from tests.models import tiny_policy

ROOT = Path(__file__).parents[4]


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.skipif(torch.cuda.is_available(), reason="they run for real")
def test_the_kernels_compute_under_the_interpreter() -> None:
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-rf"]
    done = subprocess.run(
        [*command, str(Path(__file__).with_name("test_triton.py"))],
        cwd=ROOT,
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter is asked for")
def test_a_model_on_the_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="attention_backend='triton': the model is on cpu, must be on cuda"):
        Engine(tiny_policy("llama"), [], EngineConfig(attention_backend="triton"))
