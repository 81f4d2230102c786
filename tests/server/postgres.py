"""A PostgreSQL for the tests: the one that TEST_POSTGRES_URL names, else a throw-away cluster on loopback.

The variable has no ``MAVIS_`` in front: the server would refuse it as an unknown setting.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

VARIABLE = "TEST_POSTGRES_URL"


@contextmanager
def postgres_url() -> Iterator[str]:
    if given := os.environ.get(VARIABLE):
        yield given
        return
    binaries = find_binaries()
    if binaries is None:
        pytest.skip(f"no initdb and postgres on this machine, and no {VARIABLE}")
    user = None if os.geteuid() else unprivileged()
    with tempfile.TemporaryDirectory(prefix="mavis-postgres-", dir="/tmp") as folder, socket.socket() as probe:
        data = Path(folder, "data")
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        initdb: list[str | Path] = [
            binaries / "initdb",
            "-D",
            data,
            "-U",
            "mavis",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        subprocess.run(initdb, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port}", "-c", "fsync=off", "-k", folder]
        command: list[str | Path] = [binaries / "postgres", "-D", data, *options]
        with subprocess.Popen(command, user=user, cwd=folder, stderr=subprocess.DEVNULL) as process:
            try:
                url = f"postgresql://mavis@127.0.0.1:{port}/postgres"
                wait_for(url, process)
                yield url
            finally:
                process.terminate()
                process.wait(30)


def find_binaries() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    if config := shutil.which("pg_config"):
        folders.append(Path(subprocess.run([config, "--bindir"], capture_output=True, text=True).stdout.strip()))
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


def unprivileged() -> str:
    """PostgreSQL refuses to run as root."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(url, connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            assert process.poll() is None, "PostgreSQL did not start"
            assert time.monotonic() < deadline
            time.sleep(0.1)
