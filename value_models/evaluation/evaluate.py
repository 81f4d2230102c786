"""What ``mavis evaluate`` does: samples every point, scores every answer, writes the report; each step resumable.

What decides the outcome (reference point, budgets, claims) is on disk before the first token and cannot be changed in
the same folder. Arms may be added later; one that is there may not change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mavis_core.api.errors import LoadError, RunError
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from value_models import durable
from value_models.evaluation import figures, tables
from value_models.evaluation.arms import Arm, build_arm
from value_models.evaluation.config import EvaluationConfig
from value_models.evaluation.findings import Findings, find
from value_models.evaluation.point_sampler import PointSampler
from value_models.evaluation.points import BASE, Point
from value_models.evaluation.report import page
from value_models.evaluation.sampling import SampledAnswer, read, write
from value_models.evaluation.table import Array, Table, tabulate
from value_models.identity import identify
from value_models.loading import SHIPPED_POLICY, FolderLoader, load_policy
from value_models.prompts import Prompt, file_hash, read_prompts
from value_models.rewards.identity import identities
from value_models.rewards.normalisation import Normalisation
from value_models.rewards.registry import build
from value_models.rewards.reward import Guarded
from value_models.rollouts.shards import MANIFEST, read_arrays, write_arrays
from value_models.training import labels

NOT_SHARED = ("arms", "engine", "folder", "prompts", "count", "policy", "constants")


@dataclass
class Evaluation:
    """Args:
    config: checked, its paths resolved.
    progress: show bars.
    say: told what is done, a line at a time.
    """

    config: EvaluationConfig
    progress: bool = True
    say: Callable[[str], None] = print

    def __post_init__(self) -> None:
        self.folder = Path(self.config.folder)
        self.report_folder = self.folder / "report"

    @cached_property
    def prompts(self) -> list[Prompt]:
        return read_prompts(Path(self.config.prompts), self.config.count)

    @cached_property
    def rewards(self) -> list[Guarded]:
        return build(self.config.rewards, self.folder / "judges", lambda: self.policy)

    @property
    def points(self) -> list[Point]:
        """The base first."""
        return [Point(BASE), *(point for arm in self.arms.values() for point in arm.points)]

    @cached_property
    def arms(self) -> dict[str, Arm]:
        return {name: build_arm(name, self.config) for name in self.config.arms}

    @cached_property
    def policy(self) -> Policy:
        return load_policy(self.config.policy or str(SHIPPED_POLICY), self.config.engine)

    def run(self) -> Findings:
        """All of it; what is there already is not done again."""
        for reward in self.rewards:
            reward.try_out(self.prompts[0])
        self.sample()
        self.score()
        return self.report()

    def sample(self) -> None:
        """The answers of every point, one file each."""
        self._begin()
        missing = [point for point in self.points if not self._answers(point).exists()]
        with tqdm(total=len(missing), unit="point", desc="answers", disable=not self.progress) as bar:
            for _, together in groupby(missing, self._served):
                points = list(together)
                for point, made in self.sampler(points[0]).answers(points):  # whose engine is free again afterwards
                    write(self._answers(point), made)
                    bar.update()

    def score(self) -> None:
        """Every reward of every answer, one file per point."""
        names = list(self.config.rewards)
        missing = [point for point in self.points if not self._scores(point).exists()]
        for point in tqdm(missing, unit="point", desc="scores", disable=not self.progress):
            answers = read(self._answers(point))
            asked, texts = [self.prompts[a.prompt] for a in answers], [a.text for a in answers]
            scores = np.array([reward.score(asked, texts) for reward in self.rewards], dtype=np.float64).T
            write_arrays(self._scores(point), {"rewards": np.ascontiguousarray(scores)}, {"rewards": names})

    def report(self) -> Findings:
        """Write the report's folder anew."""
        table = self.tabulate()
        findings = find(table, self.config)
        self.report_folder.mkdir(parents=True, exist_ok=True)
        tables.write_points(self.report_folder / "points.csv", table, self.config)
        tables.write_matched(self.report_folder / "matched.csv", findings, self.config)
        figures.draw_curves(table, self.config, self.report_folder)
        if len(self.config.axes) == 2:
            figures.draw_fronts(findings, self.config, self.report_folder)
        text = page(table, findings, self.config)
        durable.replace(self.report_folder / "report.md", lambda part: part.write_text(text, encoding="utf-8"))
        self.say(f"{self.report_folder / 'report.md'}: {len(table.points)} points, {len(findings.verdicts)} claims")
        for verdict in findings.verdicts:
            self.say(f"{verdict.claim.better} over {verdict.claim.than}: {verdict.outcome}")
        return findings

    def tabulate(self) -> Table:
        """All answers with z-scored rewards."""
        points = self.points
        scores: list[Array] = [read_arrays(self._scores(point), ["rewards"])["rewards"] for point in points]
        names = list(self.config.rewards)
        if self.config.constants:
            constants = labels.read_constants(Path(self.config.constants), names)
        else:
            constants = Normalisation.measure(names, scores[0], np.ones(len(scores[0])))
        answers: list[list[SampledAnswer]] = [read(self._answers(point)) for point in points]
        return tabulate(points, answers, [constants.apply(each) for each in scores])

    def _begin(self) -> None:
        """Check every arm's values, then write, or compare with, what this evaluation is and what each arm is."""
        config = self.config
        self.sampler(Point(BASE)).check([Point(BASE)])
        for name, arm in self.arms.items():
            arm.check(self.policy)
            if not config.arms[name].policies:  # each point of those is an engine of its own
                self.sampler(arm.points[0]).check(arm.points)
        shared = {key: value for key, value in asdict(config).items() if key not in NOT_SHARED}
        shared["rewards"] = identities(config.rewards, self.rewards)
        shared |= {"prompts": len(self.prompts), "prompts_hash": file_hash(Path(config.prompts))}
        if config.constants:
            found = labels.read_constants(Path(config.constants), list(config.rewards))
            shared["constants"] = {"mean": found.mean.tolist(), "std": found.std.tolist()}
        durable.write_or_match(self.folder / MANIFEST, {**shared, "policy": identify(self.policy).exact})
        for name, arm in self.arms.items():
            durable.write_or_match(self.folder / "answers" / name / MANIFEST, arm.about())
            for point in arm.points:
                if about := arm.about_point(point):
                    durable.write_or_match(self._answers(point).with_suffix(".json"), about)

    def _served(self, point: Point) -> str:
        return BASE if point.arm == BASE else self.arms[point.arm].served(point)

    def sampler(self, point: Point) -> PointSampler:
        """What answers ``point`` and those that are served alike.

        Raises:
            RunError: its arm's values do not go together.
        """
        try:
            values = [] if point.arm == BASE else self.arms[point.arm].values(point, self.policy)
            engine = Engine(
                self.policy, values, self.config.engine, FolderLoader(self.policy, self.config.engine.quantization)
            )
        except LoadError as error:
            raise RunError(f"arms.{point.arm}: {error}") from error
        return PointSampler(engine, self.prompts, self.rewards, self.config, self.arms)

    def _answers(self, point: Point) -> Path:
        return self.folder / "answers" / f"{point.name}.jsonl"

    def _scores(self, point: Point) -> Path:
        return self.folder / "scores" / f"{point.name}.safetensors"
