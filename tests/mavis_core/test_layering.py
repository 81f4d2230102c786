"""Who may import whom, and what must not need torch: properties of folders."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.forked import Forked

ROOT = Path(__file__).parents[2]
# Each folder of mavis_core imports only itself and those before it, type annotations included. "" is the root.
FOLDERS = ("api", "text", "grammar", "schedule", "model", "sample", "values", "search", "", "process")
TORCH_FREE = ("api", "text", "grammar", "schedule", "search", "process")


def modules(package: str) -> dict[str, Path]:
    """Dotted name -> file, of a whole package."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """What a file imports, wherever the import stands: modules, and names that may be modules."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folder_of(module: str) -> str:
    """Of a module of mavis_core."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (ROOT / "mavis_core" / parts[1]).is_dir() else ""


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("mavis_core", {"server", "value_models", "fastapi", "pydantic", "starlette", "uvicorn", "typer", "tests"}),
        ("value_models", {"server", "fastapi", "pydantic", "starlette", "uvicorn", "typer", "tests"}),
    ],
)
def test_imports_point_downwards(package: str, forbidden: set[str]) -> None:
    found = [(path.name, module) for path in modules(package).values() for module in imports(path)]
    assert len(found) > 20
    assert [(path, module) for path, module in found if module.split(".")[0] in forbidden] == []


def test_every_folder_has_its_place() -> None:
    assert {folder_of(module) for module in modules("mavis_core")} == set(FOLDERS)


def test_folders_import_only_those_before_them() -> None:
    known = modules("mavis_core")
    for module, path in known.items():
        place = FOLDERS.index(folder_of(module))
        for imported in set(imports(path)) & set(known):
            assert FOLDERS.index(folder_of(imported)) <= place, (module, imported)


@pytest.mark.parametrize("package", ["mavis_core", "value_models", "server"])
def test_no_circle(package: str) -> None:
    """Imports in functions and for type annotations included."""
    known = modules(package)
    graph = {name: set(imports(path)) & set(known) - {name} for name, path in known.items()}
    while free := [name for name, needed in graph.items() if not needed & set(graph)]:
        for name in free:
            del graph[name]
    assert graph == {}


def test_the_engines_tests_do_without_the_server() -> None:
    """They run where it cannot be imported: on a machine with a GPU and little else."""
    known = modules("tests")
    open_ = [name for name in known if name.startswith("tests.mavis_core")]
    reached = set(open_)
    while open_:
        found = set(imports(known[open_.pop()]))
        assert not {module.split(".")[0] for module in found} & {"server", "fastapi", "pydantic", "uvicorn"}
        new = found & set(known) - reached
        reached |= new
        open_ += new
    assert "tests.server.fake_engine" in reached


def test_mavis_core_needs_torch_transformers_what_they_need_and_llguidance() -> None:
    allowed = set(sys.stdlib_module_names) | {
        "mavis_core",
        "torch",
        "transformers",
        "tokenizers",
        "huggingface_hub",
        "llguidance",
        "safetensors",
        "tqdm",
        "triton",  # only in the backend of that name, and torch brings it where there is CUDA
    }
    assert {module.split(".")[0] for path in modules("mavis_core").values() for module in imports(path)} <= allowed


def test_folders_without_torch() -> None:
    free = [module for module in modules("mavis_core") if folder_of(module) in TORCH_FREE]
    assert len(free) > 30
    program = (
        "import importlib, sys\n"
        "sys.modules.update(dict.fromkeys(['torch', 'transformers', 'numpy']))\n"
        f"for name in {free!r}: importlib.import_module(name)\n"
        "try:\n    importlib.import_module('mavis_core.sample.tilt')\n"
        "except ImportError: print('no torch here')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("no torch here\n", "", 0)


def compile_without_llguidance() -> None:
    """In a process that forgets all of our modules but those of models, whose operators torch registers once."""
    for name in list(sys.modules):
        ours = name.partition(".")[0] in {"mavis_core", "value_models", "llguidance"}
        if ours and not name.startswith("mavis_core.model"):
            del sys.modules[name]
    sys.modules.update({"llguidance": None})  # type: ignore[dict-item]  # so that it cannot be imported
    importlib.import_module("mavis_core.engine")
    importlib.import_module("value_models.loading")
    errors, structure, compiler = (
        importlib.import_module(f"mavis_core.{name}") for name in ("api.errors", "api.structure", "grammar.compiler")
    )
    try:
        compiler.GrammarCompiler(object(), 7, (0,)).compile(structure.Structure("regex", "a+"))
    except errors.InvalidRequestError as error:
        print(error, file=sys.stderr)


def test_the_engine_needs_llguidance_only_for_structures(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = Forked(compile_without_llguidance, log=log).wait(180)
    expected = "structure: llguidance is not installed where the engine runs\n"
    assert (log.read_text(encoding="utf-8"), code) == (expected, 0)
