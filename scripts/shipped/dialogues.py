"""The five chat corpora as one type: a dialogue, who may be the assistant, what the system may say.

System lines come from what each corpus knows (topic, services, persona), so that a system prompt
means something to the model: half of the dialogues carry one, half do without. Speakers of
symmetric small talk take either role; in service dialogues the machine's side is the assistant.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scripts.shipped.clean import clean_turn

Split = Literal["train", "valid", "test"]
Message = dict[str, str]

CORPORA = ("selfdialogue", "sgd", "topical", "synthpersona", "tm4_coffee")
KEEP_SHARE = {"tm4_coffee": 0.25}
"""Share of distinct dialogues kept; coffee ordering says the same four lines 3,700 times."""

_TOPICS = {
    "nfl_football": "football", "rap_hiphop": "rap and hip hop", "pop": "pop music",
    "rock": "rock music", "beatles": "the Beatles", "lady_gaga": "Lady Gaga",
    "star_wars": "Star Wars", "harry_potter": "Harry Potter", "disney": "Disney movies",
    "fast_furious": "the Fast and Furious movies", "music_and_movies": "music and movies",
    "icehockey": "ice hockey", "action": "action movies", "comedy": "comedies",
    "horror": "horror movies", "thriller": "thrillers", "superhero": "superhero movies",
}  # fmt: skip
_SERVICES = {
    "Alarm": "alarms", "Banks": "banking", "Buses": "bus tickets", "Calendar": "calendars",
    "Events": "events", "Flights": "flights", "Homes": "finding a home", "Hotels": "hotels",
    "Media": "watching movies", "Messaging": "messages", "Movies": "movies", "Music": "music",
    "Payment": "payments", "RentalCars": "rental cars", "Restaurants": "restaurants",
    "RideSharing": "rides", "Services": "appointments", "Trains": "train tickets",
    "Travel": "travel", "Weather": "the weather",
}  # fmt: skip
_TALK = (
    "You are talking about {}.",
    "You like to talk about {}.",
    "This is a friendly conversation about {}.",
)
_HELP = ("You help people with {}.", "You are a helpful assistant for {}.")
_TOPICAL = (
    "You are a friendly person who likes to talk about interesting facts.",
    "You chat about news, sports, films, books and science.",
)
_COFFEE = ("You take orders at a coffee shop.", "You work at a coffee shop.")


@dataclass(frozen=True)
class Dialogue:
    corpus: str
    turns: tuple[str, ...]  # cleaned, speakers strictly alternate
    symmetric: bool  # either speaker may be the assistant
    systems: tuple[tuple[str, ...], tuple[str, ...]]
    """System lines to choose from if speaker 0, respectively speaker 1, is the assistant."""

    @property
    def key(self) -> str:
        """What makes two dialogues the same: their letters and digits."""
        return re.sub(r"[^a-z0-9]+", " ", " ".join(self.turns).lower())

    @property
    def split(self) -> Split:
        """By a stable hash of the opening, so that dialogues that start alike stay together."""
        opening = re.sub(r"[^a-z0-9]+", " ", " ".join(self.turns[:3]).lower())
        place = int(hashlib.sha256(opening.encode()).hexdigest()[:8], 16) / 2**32
        return "valid" if place < 0.02 else "test" if place < 0.05 else "train"

    def messages(self, assistant: int, system: str | None) -> list[Message]:
        """The dialogue as chat messages with speaker `assistant` (0 or 1) as the assistant."""
        head = [{"role": "system", "content": system}] if system else []
        roles = ("user", "assistant") if assistant == 1 else ("assistant", "user")
        return head + [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(self.turns)]

    def system_for(self, assistant: int, rng: random.Random) -> str | None:
        """One of the system lines in half of the cases, otherwise none."""
        lines = self.systems[assistant]
        return rng.choice(lines) if lines and rng.random() < 0.5 else None


def read_dialogues(folder: Path) -> list[Dialogue]:
    """All distinct dialogues of the five corpora, in corpus order."""
    seen: set[str] = set()
    kept: list[Dialogue] = []
    for corpus in CORPORA:
        share = KEEP_SHARE.get(corpus, 1.0)
        for row in read_rows(folder / f"chat_{corpus}.jsonl.gz"):
            dialogue = _dialogue(corpus, row)
            if len(dialogue.turns) < 2 or dialogue.key in seen or _has_placeholder(dialogue):
                continue
            seen.add(dialogue.key)
            place = int(hashlib.sha256(dialogue.key.encode()).hexdigest()[8:16], 16) / 2**32
            if place < share:
                kept.append(dialogue)
    return kept


def _has_placeholder(dialogue: Dialogue) -> bool:
    """True where a generated chat left "[user 1]" or "[your name]" for somebody to fill in."""
    return any(re.search(r"\[(?:user|your|my|name)\b", turn, re.I) for turn in dialogue.turns)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _dialogue(corpus: str, row: dict[str, Any]) -> Dialogue:
    symmetric = corpus in ("selfdialogue", "topical", "synthpersona")
    return Dialogue(corpus, _turns(row["turns"]), symmetric, _systems(corpus, row))


def _turns(raw: list[Any]) -> tuple[str, ...]:
    """Cleaned turns; neighbouring turns of one speaker become one, empty turns vanish."""
    turns: list[str] = []
    last: object = None
    for i, turn in enumerate(raw):
        if isinstance(turn, str):
            speaker, text = i % 2, turn
        elif isinstance(turn, list):
            speaker, text = turn
        else:
            speaker, text = turn.get("agent", i % 2), turn["text"]
        text = clean_turn(text)
        if not text:
            continue
        if turns and speaker == last:
            turns[-1] = f"{turns[-1]} {text}"
        else:
            turns.append(text)
        last = speaker
    return tuple(turns)


def _systems(corpus: str, row: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if corpus == "synthpersona":
        first, second = (" ".join(map(clean_turn, row[side])) for side in ("p1", "p2"))
        return (first,), (second,)
    if corpus == "selfdialogue":
        topic = _TOPICS.get(row["topic"], row["topic"].replace("_", " "))
        lines = tuple(line.format(topic) for line in _TALK)
    elif corpus == "sgd":
        names = sorted({_SERVICES[name.split("_")[0]] for name in row["services"]})
        listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
        lines = tuple(line.format(listed) for line in _HELP)
    else:
        lines = _TOPICAL if corpus == "topical" else _COFFEE
    return lines, lines
