"""Links resolve, the README leads to every folder and page, every source file has its line of its own words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.file_table import HEADING, PACKAGES, modules, purpose, table
from tests.docs.pages import PAGES, README, anchors, blocks, links, read

ARCHITECTURE = Path("docs/architecture.md")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links(page: Path) -> None:
    for link in links(page):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        found = (page.parent / target) if target else page
        assert found.exists(), link
        assert not anchor or anchor in anchors(found), link


def test_every_result_is_on_the_page_of_results() -> None:
    page = Path("docs/results.md")
    linked = {Path(os.path.normpath(page.parent / link.partition("#")[0])) for link in links(page) if "://" not in link}
    results = Path("benchmarks/results")
    folders = {path.parent for path in results.rglob("*.md")}
    assert len(folders) > 4
    missing = [path for path in results.rglob("*.json") if path.parent not in folders and path not in linked]
    assert missing + [folder for folder in folders if not {path.parent for path in linked} & {folder}] == []


def tree() -> list[Path]:
    """Paths of the README's file tree; two spaces of indent a level."""
    paths: list[Path] = []
    parents: list[Path] = []
    for line in blocks(README, "text")[-1].splitlines():
        name = line.split()[0]
        level = (len(line) - len(line.lstrip())) // 2
        parents[level:] = [(parents[level - 1] if level else Path()) / name]
        paths.append(parents[level])
    return paths


def test_the_tree_exists() -> None:
    for path in tree():
        assert path.exists(), path


def test_the_tree_is_whole() -> None:
    shown = set(tree())
    for top in (*PACKAGES, "scripts", "benchmarks", "docs", "docker", "examples", "tests"):
        assert Path(top) in shown
    packages = {init.parent for name in (*PACKAGES, "scripts") for init in Path(name).rglob("__init__.py")}
    assert packages <= shown
    assert all(path.is_dir() for path in shown), "folders only: docs/architecture.md has the files"


def test_the_readme_leads_to_every_page() -> None:
    assert {str(page) for page in Path("docs").glob("*.md")} <= set(links(README))


def test_every_source_file_has_a_line_of_its_own_words() -> None:
    """``python -m scripts.file_table`` writes it."""
    assert read(ARCHITECTURE).endswith(f"{HEADING}\n{table()}")
    assert all(purpose(path) for package in PACKAGES for path in modules(package))
