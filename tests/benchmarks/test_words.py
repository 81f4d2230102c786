"""The benchmark of objectives in words: figures and verdicts of answers that are made up, and one small run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from benchmarks.words.__main__ import PROMPTS, chosen, report
from benchmarks.words.cells import BASE, Cell, cells
from benchmarks.words.findings import Findings
from benchmarks.words.measures import MEASURES
from benchmarks.words.sample import Run
from mavis_core.api.errors import RunError
from mavis_core.model.policy import Policy
from tests.models import save_byte_llama
from value_models.evaluation.sampling import SampledAnswer
from value_models.prompts import Prompt, read_prompts

ASKED = [Prompt(f"question {i}") for i in range(20)]
TEMPLATE = "{% for m in messages %}{{ m['role'][0] + m['content'] + '|' }}{% endfor %}"


def answers(words: Sequence[int], nats: float) -> list[SampledAnswer]:
    """One per prompt, of so many words; 1 nat of truncation, tokens twice the words."""
    return [
        SampledAnswer(i, 0, "w " * n, "stop", 2 * n, 2 * n, nats, 1.0, 2.0 * n, 0.5) for i, n in enumerate(words)
    ]  # fmt: skip


def found(told: int, one: int, two: int, three: int) -> Findings:
    """``concise`` with answers of 40 to 59 words at weight 0, less by so many; the told model at 4 nats."""
    base = list(range(40, 60))
    return Findings(
        ASKED,
        {
            BASE: answers(base, 0.0),
            Cell("concise"): answers([n - told for n in base], 4.0),
            Cell("concise", 1.0): answers([n - one for n in base], 4.0),
            Cell("concise", 2.0): answers([n - two for n in base], 16.0),
            Cell("concise", 3.0): answers([n - three for n in base], 36.0),
            Cell("concise", -1.0): answers([n + 5 for n in base], 9.0),
        },
    )


def test_figures_are_those_of_the_answers() -> None:
    figures = found(10, 10, 20, 30).figures(Cell("concise", 2.0), "concise")
    assert figures.measure.estimate == figures.words == 29.5 and 26 < figures.measure.low < 29.5 < figures.measure.high
    assert (figures.steering_per_answer, figures.tokens, figures.cut, figures.empty) == (16.0, 59.0, 0.0, 0.0)
    assert figures.steering_per_token == pytest.approx(16 / 59) and figures.truncation_per_token == pytest.approx(
        1 / 59
    )
    assert figures.perplexity == pytest.approx(2.718281828)


@pytest.mark.parametrize(
    ("words", "at_equal", "equal", "beyond"),
    [
        ((10, 10, 20, 30), 0.0, "no worse", "goes on"),
        ((10, 12, 8, 6), 2.0, "better", "does not go on"),
        ((20, 10, 15, 20), -10.0, "worse", "undecided"),
    ],
)
def test_verdicts(words: tuple[int, int, int, int], at_equal: float, equal: str, beyond: str) -> None:
    """More is fewer words: at the told model's 4 nats stands weight 1."""
    verdict = found(*words).verdict("concise")
    assert verdict is not None and verdict.at_equal is not None
    assert verdict.at_equal.estimate == pytest.approx(at_equal)
    assert (verdict.equal_outcome, verdict.beyond_outcome) == (equal, beyond)
    assert set(verdict.beyond) == {"2", "3"} and verdict.avoids.estimate == 5.0


def test_what_cannot_spend_so_much_or_is_not_there_has_no_verdict() -> None:
    whole = found(10, 10, 20, 30)
    cells_there = dict(whole._answers)
    dear = {**cells_there, Cell("concise"): answers([30] * 20, 50.0)}
    verdict = Findings(ASKED, dear).verdict("concise")
    assert verdict is not None and verdict.at_equal is None and verdict.beyond == {}
    assert (verdict.equal_outcome, verdict.beyond_outcome) == ("does not reach it", "spends no more")
    del cells_there[Cell("concise", 3.0)]
    assert Findings(ASKED, cells_there).verdict("concise") is None


def test_every_objective_that_ships_is_measured_and_there_are_200_prompts() -> None:
    assert list(chosen(None)) == [*MEASURES]
    assert len({prompt.text for prompt in read_prompts(PROMPTS)}) == 200
    assert len(cells(["a", "b"])) == 1 + 2 * 5 and cells(["a", "b"])[1:3] == [Cell("a"), Cell("b")]


def test_a_small_run_resumes_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Path] = []
    monkeypatch.setattr("benchmarks.words.__main__.draw", lambda found, path: drawn.append(path))
    save_byte_llama(tmp_path / "policy")
    policy = Policy.load(str(tmp_path / "policy"), torch.device("cpu"), torch.float32)
    assert policy.tokenizer is not None
    policy.tokenizer.chat_template = TEMPLATE
    policy.backbone.config.max_position_embeddings = 256
    prompts = [Prompt.chat([{"role": "user", "content": f"say {i}"}]) for i in range(3)]
    objectives = {"concise": "Brief.", "formal": "Stiff."}

    def run(**changes: int) -> Run:
        return Run(
            tmp_path / "run",
            policy,
            objectives,
            PROMPTS,
            prompts,
            **{"tokens": 4, "rows": 5, "top_k": 9, "seed": 1, **changes},
        )

    run().begin()
    run().sample(0.0)
    assert run().found() == {}
    run().sample(1.0)
    kept = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    (tmp_path / "run" / "formal-2.jsonl").unlink()
    run().sample(1.0)
    again = [answer.text for answer in run().found()[Cell("formal", 2.0)]]
    assert again == [json.loads(line)["text"] for line in kept.pop("formal-2.jsonl").splitlines()]
    assert all((tmp_path / "run" / name).read_bytes() == data for name, data in kept.items())
    with pytest.raises(RunError, match="tokens: 4 there, 5 now"):
        run(tokens=5).begin()
    report(run(), tmp_path / "out")
    page = (tmp_path / "out" / "README.md").read_text()
    assert page.count("| `formal` |") == 1 + 1 + 6 and drawn == [tmp_path / "out" / "words"]
    told = json.loads((tmp_path / "out" / "words.json").read_text())
    assert set(told["verdicts"]) == set(objectives) and len(told["cells"]["concise"]) == 6
