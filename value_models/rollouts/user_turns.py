"""Prompts from nothing but the policy: it is given its own chat template up to where the user speaks, and goes on.

An instruct model was trained on such conversations, so it knows what users ask (Magpie, arXiv 2406.08464). Candidate
number i is a function of the seed and of i; they are judged in order (``question_filter``), so the first N that pass
are the same whether the process was stopped in between or not. Each batch is kept when it is whole.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mavis_core.api.errors import RunError
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from mavis_core.schedule.seeds import seed_of
from value_models import durable
from value_models.identity import identify
from value_models.progress import progress_bar
from value_models.prompts import Prompt
from value_models.rollouts.question_filter import QuestionFilter

BATCH, SMALLEST_BATCH = 128, 16
"""Candidates that are drawn together, at most and at least: what a kill costs; more than are wanted are waste."""
LONGEST = 128
"""Tokens of a user's turn."""
TOP_P = 0.95
MARK = "mavis-user-turn-7"
DRAWN_PER_PROMPT = 20
"""So many candidates for each prompt that is wanted, then it is no use."""


@dataclass(frozen=True, slots=True)
class FromPolicy:
    """``prompts`` of a run that has none.

    Attributes:
        from_policy: how many.
        file: where they are written; default: ``prompts.jsonl`` in the run's folder.
    """

    from_policy: int
    file: str | None = None

    def __post_init__(self) -> None:
        if self.from_policy < 2:
            raise RunError(f"prompts.from_policy={self.from_policy}: must be at least 2")


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a chat template has the user speak.

    Attributes:
        before: all text in front of the user's words.
        end: the text right behind them.
    """

    before: str
    end: str


def user_turn(engine: Engine) -> Turn:
    """Found by trying the template.

    Raises:
        RunError: there is none, or it changes what users say, or nothing tells where they end.
    """
    assert engine.tokenizer is not None, "prompts need a tokenizer"
    try:
        prompt: Any = engine.tokenizer.apply_chat_template(
            [{"role": "user", "content": MARK}], tokenize=False, add_generation_prompt=True
        )
    except Exception as error:  # templates are code of the model's, which raises what it likes
        raise RunError(f"prompts.from_policy: the policy's chat template: {error}") from error
    before, mark, after = prompt.partition(MARK)
    if not mark or MARK in after or not after.strip():
        raise RunError("prompts.from_policy: the policy's chat template does not show where the user speaks")
    return Turn(before, after)


def sample_user_turns(engine: Engine, wanted: int, seed: int, file: Path, progress: bool = True) -> int:
    """Write ``wanted`` prompts to ``file``; how many candidates were drawn in this run. One that is there stays.

    Args:
        engine: idle.

    Raises:
        RunError: the policy's template does not do, too few candidates pass, or ``file`` was begun otherwise.
    """
    turn = user_turn(engine)
    about = {"from_policy": wanted, "seed": seed, "policy": identify(engine.policy).exact, "turn": asdict(turn)}
    batch = min(BATCH, max(SMALLEST_BATCH, wanted))
    durable.write_or_match(file.with_name(file.stem + ".manifest.json"), about)
    if file.exists():
        return 0
    candidates = file.with_name(file.stem + ".candidates.json")
    nothing: dict[str, Any] = {"drawn": 0, "kept": [], "refused": {}}
    state = durable.read_json(candidates) if candidates.exists() else nothing
    drawn_before: int = state["drawn"]
    judge, refused = QuestionFilter(state["kept"]), Counter[str](state["refused"])
    with progress_bar(wanted, "prompts", "user turns", progress, len(judge.kept)) as bar:
        while len(judge.kept) < wanted:
            if state["drawn"] >= DRAWN_PER_PROMPT * wanted + batch:
                told = ", ".join(f"{count} {why}" for why, count in refused.most_common())
                raise RunError(f"prompts.from_policy: {len(judge.kept)} of {state['drawn']} candidates pass ({told})")
            before = len(judge.kept)
            for text in _draw(engine, turn, seed, range(state["drawn"], state["drawn"] + batch)):
                why = judge.judge(text) if len(judge.kept) < wanted else None
                refused.update([why] if why else [])
            state = {"drawn": state["drawn"] + batch, "kept": judge.kept, "refused": dict(refused)}
            durable.write_json(candidates, state)
            bar.update(len(judge.kept) - before)
    lines = "".join(json.dumps({"messages": list(Prompt.chat([_said(text)]).messages)}) + "\n" for text in judge.kept)
    durable.replace(file, lambda part: part.write_text(lines, encoding="utf-8"))
    drawn: int = state["drawn"] - drawn_before
    return drawn


def _said(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def _draw(engine: Engine, turn: Turn, seed: int, numbers: range) -> list[str | None]:
    """Candidates of these numbers; None for one that did not end."""
    assert engine.tokenizer is not None
    engine.forget_prefixes()
    ids = engine.tokenizer.encode(turn.before, add_special_tokens=False)
    ends = engine.tokenizer.encode(turn.end, add_special_tokens=False)
    added = engine.tokenizer.backend_tokenizer.get_added_tokens_decoder()
    special = {token for token, what in added.items() if what.special}
    # A template that ends turns by a token of its own; else by the words that stand there.
    stops: dict[str, Any] = {"stop_token_ids": (ends[0],)} if ends[0] in special else {"stop": (turn.end.strip(),)}
    samplings = [
        SamplingParams(max_tokens=LONGEST, top_p=TOP_P, seed=seed_of(f"{seed}/user turn/{i}"), **stops) for i in numbers
    ]
    found = generate(engine, [ids] * len(numbers), samplings)
    return [_text(choice) for (choice,) in found]


def _text(choice: CompletionOutput) -> str | None:
    return choice.text.strip() if choice.finish_reason == "stop" else None
