"""What a request may name as the source of a value, and everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from mavis_core.api.errors import InvalidRequestError
from server.value_sources import value_source


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.fixture
def values(tmp_path: Path) -> Path:
    make(tmp_path / "outside")
    make(tmp_path / "values" / "kind-1.0")
    return tmp_path / "values"


def test_a_folder_right_under_the_directory(values: Path) -> None:
    assert value_source("kind-1.0", values) == str(values / "kind-1.0")


def test_shipped_names_need_no_directory() -> None:
    assert value_source("shipped:heads", None) == "shipped:heads"
    with pytest.raises(InvalidRequestError, match="no --values-dir"):
        value_source("kind-1.0", None)


def test_what_the_server_was_started_with() -> None:
    started = ("some/where/heads", "owner/name", "odd#x")
    for source in (*started, "some/where/heads#polite", "owner/name#polite", "odd#x#polite"):
        assert value_source(source, None, started) == source
    assert value_source("shipped:heads#concise", None) == "shipped:heads#concise"
    other_places = ["some/where", "some/where/heads/", "some/where/heads/polite", "owner/other", "odd", "heads#polite"]
    no_names = ["owner/name#../x", "owner/name#", "shipped:heads#../x", "shipped:heads#a#b", "#", "shipped:#x"]
    for source in other_places + no_names:
        with pytest.raises(InvalidRequestError, match="no --values-dir") as caught:
            value_source(source, None, started)
        assert caught.value.param == "source"


@pytest.mark.parametrize(
    "source",
    ["..", ".", "", ".hidden", "../outside", "kind-1.0/", "a/b", "/etc", "a\\b", "kind-1.0\n", "kind-1.0\0", "~",
     "owner/name", "x" * 101, "shipped:../outside", "kind-1.0#kind-1.0", "shipped:", "file:a", "ｋind", "%2e%2e"],
)  # fmt: skip
def test_anything_but_a_plain_name_is_refused(values: Path, source: str) -> None:
    with pytest.raises(InvalidRequestError, match="must be the name of a folder") as caught:
        value_source(source, values)
    assert caught.value.param == "source"


def test_what_leads_elsewhere_is_not_there(values: Path) -> None:
    """Links out of the directory, of the folder or of a file; a folder without weights; deeper folders; a file."""
    (values / "link").symlink_to(values.parent / "outside")
    make(values / "stolen")
    (values / "stolen" / "config.json").unlink()
    (values / "stolen" / "config.json").symlink_to(values.parent / "outside" / "config.json")
    make(values / "deep" / "inner")
    (values / "deeper").symlink_to(values / "deep" / "inner")
    (values / "file").write_text("")
    (make(values / "empty") / "model.safetensors").unlink()
    for source in ("link", "stolen", "deep", "deeper", "file", "empty", "missing"):
        with pytest.raises(InvalidRequestError, match="no such value"):
            value_source(source, values)


def test_a_link_inside_the_directory_is_followed(values: Path) -> None:
    (values / "latest").symlink_to(values / "kind-1.0")
    assert value_source("latest", values) == str(values / "kind-1.0")
