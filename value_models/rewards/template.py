"""A classifier's template: how a conversation and a response become the text that it was trained to read.

Reward models were often trained on dialogues like ``"\\n\\nHuman: {prompt}\\n\\nAssistant: {response}"``. Of a
conversation {prompt} is what the user said last. Each exchange before it is put through the same template and stands in
front, as these dialogues go on; where several messages of the user follow each other they are one, with a line for
each. A template has no place for a system message, which is left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mavis_core.api.errors import RewardError
from value_models.prompts import Prompt

PROMPT, RESPONSE = "{prompt}", "{response}"


@dataclass(frozen=True, slots=True)
class Template:
    """Args:
    text: with {response} in it, and with {prompt} if the classifier reads that.
    """

    text: str

    @classmethod
    def of(cls, name: str, text: str, reads: str) -> Template:
        """From the settings of the reward ``name``.

        Raises:
            RewardError: it has no place for the response, one for something else, or one for the prompt where ``reads``
                leaves that out, or none where it does not.
        """
        unknown = set(re.findall(r"\{\w*\}", text)) - {PROMPT, RESPONSE}
        if unknown:
            told = f"has {', '.join(sorted(unknown))}: only {PROMPT} and {RESPONSE} are filled in"
            raise RewardError(name, f"template={text!r}: {told}")
        if RESPONSE not in text:
            raise RewardError(name, f"template={text!r}: must have {RESPONSE} in it")
        if (PROMPT in text) != (reads != "response"):
            told = f"must have {PROMPT} in it" if reads != "response" else f"must not have {PROMPT} in it"
            raise RewardError(name, f"template={text!r}: {told} where reads={reads}")
        return cls(text)

    def filled(self, prompt: Prompt, response: str) -> str:
        """What the classifier reads."""
        if PROMPT not in self.text or not prompt.messages:
            return self._once(prompt.text, response)
        parts: list[str] = []
        asked: list[str] = []
        for message in prompt.messages:
            if message["role"] == "user":
                asked.append(message["content"])
            elif message["role"] == "assistant":
                parts.append(self._once("\n".join(asked), message["content"]))
                asked = []
        return "".join([*parts, self._once("\n".join(asked), response)])

    def _once(self, prompt: str, response: str) -> str:
        """Both places in one pass, so that braces in what people say mean nothing."""
        said = {PROMPT: prompt, RESPONSE: response}
        return re.sub(r"\{prompt\}|\{response\}", lambda place: said[place[0]], self.text)
