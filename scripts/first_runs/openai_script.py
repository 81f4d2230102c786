"""An application that was written for OpenAI, pointed here by two variables and otherwise as it was."""

from __future__ import annotations

import shutil
from pathlib import Path

from scripts.first_runs.newcomer import Newcomer

APP = Path(__file__).with_name("an_app.py")
PARTS = ("chat:", "stream:", "response:", "parsed:")


def run(newcomer: Newcomer) -> None:
    clients = newcomer.page("docs/clients.md")
    serving = clients.command(r"--served-model-name '\*'")
    clients.says("`OPENAI_BASE_URL`", "/v1` and any key")
    newcomer.installs(newcomer.page("README.md").installation("openai"), newcomer.home)
    shutil.copy(APP, newcomer.home / "app.py")
    with newcomer.serves(serving, newcomer.home):
        app = f"OPENAI_BASE_URL={newcomer.url}/v1 OPENAI_API_KEY=any python app.py"
        said = newcomer.types(app, newcomer.home)
        found = {line.partition(" ")[0]: line.partition(" ")[2].strip() for line in said.splitlines()}
        for part in PARTS:
            newcomer.expects(found.get(part), app, f"nothing behind {part!r} in: {said}")
        newcomer.succeeds(f"{', '.join(part.rstrip(':') for part in PARTS)}; the first: {found['chat:']!r}")
