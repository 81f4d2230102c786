"""What the pages write in code letters exists: a name that the code has lost is a page that nobody has read again."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from scripts.file_table import PACKAGES
from tests.docs.pages import PAGES, prose, read

CHANGELOG = Path("CHANGELOG.md")  # tells of what is gone, too
SOURCE = {".py", ".toml", ".yaml", ".yml", ".js", ".json", ".html", ".css", ".sh", ".jinja"}
THIS = Path(__file__).name
# Words of other projects, and of equations.
FOREIGN = {
    "docker/README.md": {"PIP_EXTRA_INDEX_URL"},
    "docs/api.md": {"coerce_one_of"},
    "docs/clients.md": {"addParams", "strictJsonSchema"},
    "docs/decisions.md": {
        "TrustedHostMiddleware",
        "checkJs",
        "coerce_one_of",
        "OMP_WAIT_POLICY",
        "GOMP_SPINCOUNT",
    },
    "docs/metrics.md": {  # prometheus_client's
        "process_max_fds",
        "process_open_fds",
        "process_start_time_seconds",
        "process_virtual_memory_bytes",
    },
    "docs/operations.md": {"OMP_WAIT_POLICY"},
    "docs/method.md": {"Var_p", "argmax_a", "i_m", "prod_m"},
}


@cache
def files() -> list[Path]:
    tops = [*PACKAGES, "scripts", "benchmarks", "examples", "tests", "docker"]
    return [*Path().glob("*.*"), *(path for top in tops for path in Path(top).rglob("*.*") if path.is_file())]


@cache
def words() -> set[str]:
    """Every identifier in the source and every file's name, results aside."""
    source = [path for path in files() if path.suffix in SOURCE and not {"results", THIS} & set(path.parts)]
    found = {word for path in source for word in re.findall(r"[A-Za-z_]\w*", path.read_text(encoding="utf-8"))}
    return found | {path.stem for path in files()}


@pytest.mark.parametrize("page", [page for page in PAGES if page != CHANGELOG], ids=str)
def test_names_exist(page: Path) -> None:
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    found = {word for span in spans for word in re.findall(r"[A-Za-z_]\w*", span) if _is_a_name(word)}
    assert found - words() == FOREIGN.get(str(page), set())


@pytest.mark.parametrize("page", [page for page in PAGES if page != CHANGELOG], ids=str)
def test_files_exist(page: Path) -> None:
    named = re.findall(r"`((?:mavis_core|value_models|server|tests|scripts|benchmarks|examples)/[\w./]*)`", prose(page))
    made = ("benchmarks/pareto/run",)
    assert [path for path in named if not Path(path).exists() and not path.startswith(made)] == []


def test_decisions_are_newest_first_and_say_what_they_are() -> None:
    page = read(Path("docs/decisions.md"))
    dates = re.findall(r"^## (\d{4}-\d\d-\d\d) · \S", page, re.MULTILINE)
    assert len(dates) == page.count("\n## ") > 20
    assert dates == sorted(dates, reverse=True)


def _is_a_name(word: str) -> bool:
    """Written as only code is; metrics and variables of the environment have tests of their own."""
    if word.startswith("MAVIS_") or word.endswith("_total"):
        return False
    return "_" in word.strip("_") or re.search(r"[a-z][A-Z]", word) is not None
