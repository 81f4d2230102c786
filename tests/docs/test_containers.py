"""Container files name settings that exist, carry no key and cannot serve openly. No Docker engine is needed."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from server.settings import Settings
from server.settings.declared import SETTINGS

yaml: Any = pytest.importorskip("yaml")
KNOWN = {setting.variable for setting in SETTINGS.values()}
DOCKERFILE = Path("Dockerfile").read_text(encoding="utf-8")


@pytest.fixture
def service() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path("docker-compose.yml").read_text())["services"]["mavis"]
    return found


def test_settings_exist(service: dict[str, Any]) -> None:
    assert set(service["environment"]) <= KNOWN
    named = set(re.findall(r"\bMAVIS_[A-Z_]+", DOCKERFILE + Path("docker/README.md").read_text()))
    assert "MAVIS_HOST" in named
    assert named <= KNOWN


def test_a_key_is_demanded(service: dict[str, Any]) -> None:
    assert service["environment"]["MAVIS_API_KEY"].startswith("${MAVIS_API_KEY:?")
    assert "MAVIS_ALLOW_UNAUTHENTICATED" not in DOCKERFILE
    assert not re.search(r"^(ENV|ARG).*KEY", DOCKERFILE, re.MULTILINE)


def test_the_image_can_use_every_database() -> None:
    assert "*p['optional-dependencies']['postgres']" in DOCKERFILE


def test_ports(service: dict[str, Any]) -> None:
    assert "EXPOSE 8000" in DOCKERFILE
    assert "MAVIS_PORT=8000" in DOCKERFILE
    assert service["ports"] == ["127.0.0.1:8000:8000"]


def test_image() -> None:
    assert re.search(r"^USER (?!root)\w+$", DOCKERFILE, re.MULTILINE)
    (check,) = re.findall(r"^HEALTHCHECK.*\\\n +CMD (.*)$", DOCKERFILE, re.MULTILINE)
    python, flag, code = json.loads(check)
    assert (python, flag) == ("python", "-c")
    ast.parse(code)
    assert "/health" in code
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        for source in sources.split():
            assert Path(source).exists()
            assert f"!{source}\n" in Path(".dockerignore").read_text()


def test_stop_outlasts_the_drain(service: dict[str, Any]) -> None:
    assert int(service["stop_grace_period"].removesuffix("s")) > Settings.model_fields["drain_timeout"].default


def test_prometheus_scrapes_the_service() -> None:
    (job,) = yaml.safe_load(Path("docker/prometheus.yml").read_text())["scrape_configs"]
    compose = yaml.safe_load(Path("docker-compose.yml").read_text())
    assert job["static_configs"][0]["targets"] == ["mavis:8000"]
    assert Path(job["authorization"]["credentials_file"]).name in compose["services"]["prometheus"]["secrets"]
    assert set(yaml.safe_load(Path("docker/gpu.yml").read_text())["services"]) <= set(compose["services"])
