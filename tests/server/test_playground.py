"""What serves the page: its headers, its paths, keys, and the switch that takes it away."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from server.routes.playground import FILES, modules
from tests.server.conftest import make_app
from tests.server.fake_engine import FakeEngine

STATIC = sorted(str(path.relative_to(FILES / "static")) for path in (FILES / "static").rglob("*") if path.is_file())


class Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attributes if name in ("src", "href")]
        assert not [name for name, _ in attributes if name.startswith("on") or name == "style"]


async def test_the_page_is_whole_and_strict(client: httpx.AsyncClient) -> None:
    page = await client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    addresses = Addresses()
    addresses.feed(page.text)
    files = [address for address in addresses.found if not address.startswith("#")]
    assert len(files) > 5
    for address in files:
        assert "://" not in address and not address.startswith("/")  # also right under a root path
        assert (await client.get(urljoin("/", address))).status_code == 200


async def test_the_page_names_its_modules_so_that_none_waits_for_another(client: httpx.AsyncClient) -> None:
    page = (await client.get("/")).text
    named = re.findall(r'<link rel="modulepreload" href="playground/(\S+)">', page)
    assert named == modules() and len(set(named)) == len(named)
    classic, entry = {"app/theme.js"}, {"lib/mavis.js"}
    assert set(named) == {path for path in STATIC if path.endswith(".js")} - classic - entry


@pytest.mark.parametrize("path", STATIC)
async def test_files(client: httpx.AsyncClient, path: str) -> None:
    found = await client.get(f"/playground/{path}")
    kinds = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain"}
    kind = kinds[Path(path).suffix]
    assert found.headers["content-type"].split(";")[0] == kind
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["cache-control"] == "no-cache"
    again = await client.get(f"/playground/{path}", headers={"if-none-match": found.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", [path for path in STATIC if path.endswith(".js")])
def test_imports_resolve_and_stay_here(path: str) -> None:
    source = (FILES / "static" / path).read_text(encoding="utf-8")
    for target in re.findall(r"^(?:import|export)\b.*?[\"'](\S+)[\"'];$", source, re.MULTILINE):
        assert target.startswith(".")
        assert (FILES / "static" / path).parent.joinpath(target).is_file(), target
    if not path.startswith("vendor/"):  # a library names its home in its first lines
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg|127\.0\.0\.1)", source)


@pytest.mark.parametrize("path", [path for path in STATIC if path.startswith("app/")])
def test_the_app_never_parses_html(path: str) -> None:
    source = (FILES / "static" / path).read_text(encoding="utf-8")
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", source)


def test_what_is_vendored_has_its_licence_and_its_version_in_the_docs() -> None:
    (library,) = (FILES / "static" / "vendor").glob("*.js")
    version = re.search(r"v(\d+\.\d+\.\d+)", library.read_text(encoding="utf-8")[:200])
    assert version is not None
    docs = Path("docs/playground.md").read_text(encoding="utf-8")
    assert f"{library.stem} {version[1]}" in docs
    licence = library.with_name(f"{library.stem}.LICENSE.txt").read_text(encoding="utf-8")
    assert "Permission is hereby granted" in licence and "Copyright" in licence


async def test_the_module_has_a_stable_address(client: httpx.AsyncClient) -> None:
    found = await client.get("/mavis.js", headers={"origin": "http://elsewhere.example"}, follow_redirects=True)
    assert found.status_code == 200
    assert found.headers["content-type"].startswith("text/javascript")
    assert found.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in (await client.get("/playground/app/main.js")).headers


@pytest.mark.parametrize(
    "path",
    [
        "/playground/../index.html",
        "/playground/%2e%2e/index.html",
        "/playground/..%2f..%2f..%2fpyproject.toml",
        "/playground/lib/..%5c..%5c..%5csettings.py",
        "/playground//etc/passwd",
        "/playground/%00",
        "/playground/",
        "/playground/lib",
        "/playground/nothing.js",
    ],
)
@pytest.mark.parametrize("key", [(), ("k",)])
async def test_no_way_out_of_the_folder(path: str, key: tuple[str, ...]) -> None:
    app = make_app(FakeEngine(), api_key=key)
    answer = await raw_get(app, path)
    assert answer in (401, 404)


async def raw_get(app: object, path: str) -> int:
    """The status, with the path handed over as uvicorn would: a client library would tidy it up."""
    from urllib.parse import unquote

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": [],
        "client": ("127.0.0.1", 1), "server": ("t", 80),
    }  # fmt: skip
    statuses: list[int] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(int(str(message["status"])))

    await app(scope, receive, send)  # type: ignore[operator]
    return statuses[0]


async def test_the_page_is_open_and_the_api_is_not() -> None:
    app = make_app(FakeEngine(), api_key="k")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        for path in ("/", "/playground/app/main.js", "/playground/lib/mavis.js"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/mavis.js")).status_code == 307
        for path in ("/v1/objectives", "/v1/models", "/metrics", "/playground", "/nope"):
            assert (await client.get(path)).status_code == 401
        assert (await raw_get(app, "/playground/../v1/models")) == 404


async def test_other_methods_and_paths_answer_as_before(client: httpx.AsyncClient) -> None:
    assert (await client.post("/")).status_code == 405
    assert (await client.post("/playground/app/main.js")).status_code == 405
    missing = await client.get("/nope")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert (await client.get("/playground/nope.js")).json()["error"]["code"] == "not_found"
    assert (await client.get("/v1/chat/completions")).status_code == 405


async def test_it_can_be_switched_off() -> None:
    app = make_app(FakeEngine(), playground=False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        for path in ("/", "/mavis.js", "/playground/app/main.js"):
            assert (await client.get(path)).status_code == 404
