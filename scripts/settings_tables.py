"""The tables of docs/settings.md, made of the declarations of the settings.

    python -m scripts.settings_tables            # writes them anew

A test calls ``tables`` and compares, so a setting's declaration is the only place where it is explained.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from server.settings.declared import SETTINGS, Setting

PAGE = Path("docs/settings.md")
FIRST = "## Server\n"
AFTER = "## Notes\n"


def row(setting: Setting) -> str:
    cells = f"`{setting.flag}`", f"`{setting.variable}`", setting.takes, setting.shown_default, setting.help
    return "| " + " | ".join(cell.replace("*", "\\*").replace("|", "\\|").replace("<", "\\<") for cell in cells) + " |"


def tables() -> str:
    """From the first heading to the one after the tables."""
    parts = []
    for section, settings in groupby(SETTINGS.values(), key=lambda setting: setting.section):
        parts += [f"## {section}\n", "| flag | variable | takes | default | what it is |", "|---|---|---|---|---|"]
        parts += [*map(row, settings), ""]
    return "\n".join(parts) + "\n"


def main() -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(FIRST)
    _, _, notes = rest.partition(AFTER)
    PAGE.write_text(f"{before}{tables()}{AFTER}{notes}", encoding="utf-8")


if __name__ == "__main__":
    main()
