"""An application as one writes it for OpenAI: nothing in it knows of this server."""

from __future__ import annotations

from typing import Any

from openai import OpenAI
from pydantic import BaseModel

MODEL = "gpt-4o"


class Mood(BaseModel):
    happy: bool
    reason: str


def main() -> None:
    client = OpenAI()
    question: Any = {"role": "user", "content": "How was your day?"}
    answer = client.chat.completions.create(model=MODEL, messages=[question], max_completion_tokens=60)
    said = answer.choices[0].message.content
    print("chat:", said)
    conversation: Any = [question, {"role": "assistant", "content": said}, {"role": "user", "content": "Tell me more."}]
    with client.chat.completions.stream(model=MODEL, messages=conversation, max_tokens=60) as stream:
        pieces = [event.delta for event in stream if event.type == "content.delta"]
    print("stream:", "".join(pieces))
    response = client.responses.create(
        model=MODEL, instructions="Be brief.", input="Do you like tea?", max_output_tokens=60
    )
    print("response:", response.output_text)
    mood = client.chat.completions.parse(model=MODEL, messages=[question], response_format=Mood, temperature=0)
    print("parsed:", mood.choices[0].message.parsed)


if __name__ == "__main__":
    main()
