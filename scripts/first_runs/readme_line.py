"""The README's first line, and then its other examples in their order, on the model that ships."""

from __future__ import annotations

import re

from scripts.first_runs.environment import DOCUMENTED_PORT, first_line
from scripts.first_runs.newcomer import Newcomer


def run(newcomer: Newcomer) -> None:
    readme, checkout = newcomer.page("README.md"), newcomer.environment.checkout
    *_, serving = first_line(readme)
    with newcomer.serves(serving, checkout) as said:
        choice = newcomer.pastes(said, newcomer.home)
        newcomer.succeeds(f"the request that the server printed: {choice['message']['content']!r}")
        curl = readme.command(r"^curl .*cheerful")
        newcomer.steered(curl, newcomer.types(curl, newcomer.home))
        newcomer.installs(readme.installation("openai"), newcomer.home)
        code = readme.block("python", r"OpenAI\(").replace(str(DOCUMENTED_PORT), str(newcomer.port))
        (newcomer.home / "example.py").write_text(code, encoding="utf-8")
        said = newcomer.types("python example.py", newcomer.home)
        newcomer.expects("'kl_nats'" in said, "python example.py", said)
        typed = re.findall(r"^> (.*)$", readme.block("console", "mavis chat"), re.MULTILINE)
        chat = readme.command("^mavis chat --url")
        said = newcomer.types(chat, newcomer.home, "\n".join([*typed, "/quit", ""]))
        newcomer.expects(said.count("KL") == sum(line.startswith("/weights") for line in typed), chat, said)
        compare = readme.command("compare.py")  # which asks at the documented port unless told otherwise
        said = newcomer.types(f"{compare} --url {newcomer.url}/v1", checkout)
        newcomer.expects("cheerful +1" in said, compare, said)
