"""Who may import whom, and what must not need torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TORCH_FREE = (
    "errors",
    "bounds",
    "sampling_params",
    "guidance",
    "messages",
    "config",
    "client",
    "tokenizer",
    "token_bytes",
    "byte_run",
    "running_text",
    "blocks",
    "scheduler",
    "row",
    "detokenizer",
    "search.params",
    "search.driver",
    "engine_loop",
    "queue_client",
    "engine_thread",
    "engine_process",
    "structure",
    "grammar",
    "matcher",
    "grammar_thread",
    "grammar_steps",
    "grammar_process",
    "grammar_parent",
    "grammar_wire",
    "schema_promises",
)


def imports(package: str) -> Iterator[tuple[Path, str]]:
    """(file, imported module), of a whole package, wherever the import stands."""
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: imports are absolute here"
                assert node.module is not None
                yield path, node.module


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("mavis_core", {"server", "value_models", "fastapi", "pydantic", "starlette", "uvicorn", "typer", "tests"}),
        ("value_models", {"server", "fastapi", "pydantic", "starlette", "uvicorn", "typer", "tests"}),
    ],
)
def test_imports_point_downwards(package: str, forbidden: set[str]) -> None:
    found = [(path.name, module) for path, module in imports(package)]
    assert len(found) > 20
    assert [(path, module) for path, module in found if module.split(".")[0] in forbidden] == []


def test_mavis_core_needs_torch_transformers_what_they_need_and_llguidance() -> None:
    allowed = set(sys.stdlib_module_names) | {
        "mavis_core",
        "torch",
        "transformers",
        "tokenizers",
        "llguidance",
        "safetensors",
        "tqdm",
    }
    assert {module.split(".")[0] for _, module in imports("mavis_core")} <= allowed


def test_messages_and_scheduling_need_no_torch() -> None:
    modules = [f"mavis_core.{name}" for name in TORCH_FREE]
    program = (
        "import importlib, sys\n"
        "sys.modules.update(dict.fromkeys(['torch', 'transformers', 'numpy']))\n"
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "try:\n    importlib.import_module('mavis_core.tilt')\n"
        "except ImportError: print('no torch here')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("no torch here\n", "", 0)


def test_the_engine_needs_llguidance_only_for_structures() -> None:
    program = (
        "import sys\nsys.modules['llguidance'] = None\n"
        "import mavis_core.engine, value_models.loading\n"
        "from mavis_core.errors import InvalidRequestError\n"
        "from mavis_core.grammar import GrammarCompiler\n"
        "from mavis_core.structure import Structure\n"
        "try:\n    GrammarCompiler(object(), 7, (0,)).compile(Structure('regex', 'a+'))\n"
        "except InvalidRequestError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    expected = "structure: llguidance is not installed where the engine runs\n"
    assert (done.stdout, done.returncode) == (expected, 0), done.stderr
