"""Rewards, rollouts and training import where torch and transformers are, and what these bring, and nothing else."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ALLOWED = {"torch", "transformers", "numpy", "safetensors", "tqdm", "yaml", "mavis_core", "value_models"}
FILES = [
    p
    for name in ("kinds", "rewards", "rollouts", "training", "evaluation", "baselines")
    for p in sorted(Path("value_models", name).glob("*.py"))
    if p.name != "reinforce.py"  # it is TRL's, and imported where it is used
]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_extras_are_imported_where_they_are_used(path: Path) -> None:
    named: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            named.add(node.module or "")
    assert {name.split(".")[0] for name in named} <= ALLOWED | set(sys.stdlib_module_names)
