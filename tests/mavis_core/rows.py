"""Rows without a model, for the parts of the engine that only move them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mavis_core.api.guidance import Guidance
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.room import Room
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.schedule.admission import Admission
from mavis_core.schedule.row import Row
from tests.models import byte_tokenizer, objective, request

VOCAB, STOP = 257, 7


def admission(max_model_len: int = 31, tokenizer: bool = False, stops: tuple[int, ...] = (STOP,)) -> Admission:
    """Of an engine with objectives a (beta 1), b (beta 3) and c (weights 0 to 2, beta 5), whose value keeps a cache."""
    objectives = [objective("a", 1.0), objective("b", 3.0), objective("c", 5.0, (0, 2))]
    encoder = byte_tokenizer() if tokenizer else None
    return Admission(Room(max_model_len, 9, 99, 16), VOCAB, stops, objectives, encoder, {"c": "value-c"})


def rows(
    prompt: Sequence[int],
    sampling: SamplingParams | None = None,
    guidance: Guidance | None = None,
    name: str = "r",
    salt: str | None = None,
    group: str | None = None,
    prompted: Sequence[Sequence[int]] = (),
) -> list[Row]:
    """``prompted``: the prompts of objectives in words, each at weight 1."""
    words = tuple(PromptedObjective(f"word {i}", tuple(tokens)) for i, tokens in enumerate(prompted))
    if words:
        guidance = Guidance({objective.name: 1.0 for objective in words})
    wanted = request(name, prompt, sampling or SamplingParams(), guidance)
    return admission().rows(replace(wanted, cache_salt=salt, group=group, prompted=words))
