"""The walk of docs/architecture.md, from a request's body to its tokens and back, is the way that the code takes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.docs.pages import read

PAGE = Path("docs/architecture.md")
WALK = "## From a request's body to its tokens, and back\n"
LINK = re.compile(r"\[`([\w.]+)`\]\(\.\./([\w/]+\.py)\)")


def walk() -> str:
    return read(PAGE).split(WALK)[1].split("\n## ")[0]


STEPS = [step.split("\n", 1) for step in re.split(r"^### ", walk(), flags=re.MULTILINE)[1:]]
NAMES = [pytest.param(*found, id=":".join(found)) for found in dict.fromkeys(LINK.findall(walk()))]


def test_ten_steps() -> None:
    assert [title.split(".")[0] for title, _ in STEPS] == [str(number) for number in range(1, 11)]
    assert all(len(LINK.findall(text)) > 2 for _, text in STEPS)


def test_whatever_looks_like_code_leads_to_its_file() -> None:
    prose = LINK.sub("", "".join(text for _, text in STEPS))
    assert re.findall(r"`[^`]*`", prose) == []


@pytest.mark.parametrize(("name", "path"), NAMES)
def test_a_name_of_the_walk_is_in_its_file(name: str, path: str) -> None:
    assert name in defined(path)


@cache
def defined(path: str) -> set[str]:
    """Functions and classes of a file, and methods as ``Class.method``; found without importing it."""
    return set(_names(ast.parse(Path(path).read_text(encoding="utf-8")).body, ""))


def _names(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from _names(node.body, f"{prefix}{node.name}.")


def test_the_page_in_the_browser_is_listed_module_by_module_or_folder_by_folder() -> None:
    root = Path("server/playground")
    table = read(PAGE).split("## The page in the browser\n")[1].split("\n## ")[0]
    listed, folder = [], Path()
    for row in re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE):
        for name in re.findall(r"`([^`]+)`", row):
            folder = Path(name).parent if name.startswith("static") and not name.endswith("/") else folder
            listed.append(Path(name) if name.startswith(("static", "index")) else folder / name)
    assert all((root / path).exists() for path in listed)
    assert len(set(listed)) == len(listed)
    modules = [path.relative_to(root) for path in (root / "static/app").rglob("*.js")]
    assert [str(module) for module in modules if not {module, *module.parents} & set(listed)] == []
