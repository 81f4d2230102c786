"""The server never needs torch: it is imported with torch unimportable, and every import is looked at."""

from __future__ import annotations

import subprocess
import sys

from tests.mavis_core.test_layering import TORCH_FREE, folder_of, imports, modules

ALLOWED = {"api", "text"}  # folders of mavis_core


def test_server_imports_only_what_it_may() -> None:
    assert set(TORCH_FREE) >= ALLOWED
    sources = {name: path for name, path in modules("server").items() if not name.startswith("server.cli")}
    del sources["server.__main__"]
    core = modules("mavis_core")
    assert len(sources) > 50
    for module, path in sources.items():
        for name in imports(path):
            top = name.partition(".")[0]
            assert top not in {"torch", "transformers", "value_models", "benchmarks", "scripts", "tests"}, (
                module,
                name,
            )
            assert not name.startswith("server.cli"), (module, name)
            assert name not in core or folder_of(name) in ALLOWED, (module, name)


def test_the_app_imports_without_torch() -> None:
    block = "import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers', 'tokenizers')));"
    code = block + "import server.app, server.serving, server.terminal.repl, server.terminal.local, server.cli.app"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
