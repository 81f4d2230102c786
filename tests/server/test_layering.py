"""The server never needs torch: it is imported with torch unimportable, and every import is looked at."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

TORCH_FREE = {
    "errors",
    "bounds",
    "sampling_params",
    "structure",
    "guidance",
    "messages",
    "config",
    "client",
    "tokenizer",
    "token_bytes",
    "byte_run",
    "running_text",
    "search.params",
}
SOURCES = sorted(Path("server").rglob("*.py"))


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def test_server_imports_only_what_it_may() -> None:
    assert SOURCES
    for path in SOURCES:
        if path == Path("server/__main__.py"):
            continue
        for name in imports(path):
            top, _, rest = name.partition(".")
            assert top not in {"torch", "transformers", "value_models", "benchmarks", "scripts", "tests"}, (path, name)
            assert top != "mavis_core" or rest in TORCH_FREE, (path, name)


def test_the_torch_free_files_stay_so() -> None:
    for name in TORCH_FREE:
        for imported in imports(Path("mavis_core", name.replace(".", "/") + ".py")):
            top, _, rest = imported.partition(".")
            assert top not in {"torch", "transformers", "pydantic", "fastapi", "server", "value_models"}, name
            assert top != "mavis_core" or rest in TORCH_FREE, (name, imported)


def test_the_app_imports_without_torch() -> None:
    block = "import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers', 'tokenizers')));"
    code = block + "import server.app, server.serving, server.terminal.repl, server.terminal.local, server.__main__"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
