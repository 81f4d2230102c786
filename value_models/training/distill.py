"""What ``mavis distill`` does: teaches one value, the student, what several others say, and writes it as a folder.

Four heads and an ``lm`` become one ``lm``, or one ``head``; what the student costs in decoding does not grow with the
number of its teachers. The texts are the rollouts of any training run; no reward is computed. Instructions teach too:
what objectives in words say, without the row that they cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import RunError
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy
from value_models import durable
from value_models.folders import kind_of, load_value
from value_models.identity import identify
from value_models.kinds.registry import kind_names
from value_models.loading import SHIPPED_POLICY, load_policy, value_folders
from value_models.prompts import file_hash
from value_models.rollouts.roll_out import check_policy
from value_models.rollouts.shards import MANIFEST, read_shard, shard_path
from value_models.training.config_file import all_beside, read_config, relative
from value_models.training.data import TrainingData
from value_models.training.export import export, is_there, make_trainee
from value_models.training.plot import plot
from value_models.training.recommended_beta import tune_folder
from value_models.training.run import outcome
from value_models.training.sittings import Sitting
from value_models.training.teaching import Queries, teach
from value_models.training.told_beta import read_places, told_betas
from value_models.training.train_config import TrainConfig
from value_models.training.trainer import TrainingState, train
from value_models.training.verdict import serve_line
from value_models.training.words_teacher import Instructions
from value_models.value_config import CONFIG_FILE, WEIGHTS_FILE, ObjectiveConfig, ValueConfig

SMALLEST_UNIT = 1e-3
"""Nats: words that move nothing are no reason to divide by zero."""


@dataclass(frozen=True, slots=True)
class DistillConfig:
    """A distillation. Paths are relative to the YAML file.

    Attributes:
        folder: gets ``training/`` and ``value/``.
        rollouts: folder that ``mavis rollouts`` filled.
        teachers: folders as ``mavis serve --values`` takes them; their objectives together are the student's.
        policy: folder or hub id; None is the model that ships.
        words: objective -> instruction, taught as the policy itself understands it (``words_teacher``).
        prompts: what the rollouts were made from, where words are taught; None: the file of its name beside
            ``rollouts``.
        places: of every tree, where candidates are taught.
        candidates: of the policy's likeliest, how many are taught there.
        seed: of everything that is drawn.
    """

    folder: str
    rollouts: str
    teachers: list[str] = field(default_factory=list)
    policy: str | None = None
    words: dict[str, str] = field(default_factory=dict)
    prompts: str | None = None
    places: int = 16
    candidates: int = 12
    seed: int = 0
    engine: EngineConfig = field(default_factory=EngineConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        if not self.teachers and not self.words:
            raise RunError("teachers: at least one is needed, or words")
        if silent := [name for name, text in self.words.items() if not text.strip()]:
            raise RunError(f"words.{silent[0]}: must say something")
        if self.prompts is not None and not self.words:
            raise RunError("prompts: are read where words are taught; leave them out")
        if self.places < 1 or not 1 <= self.candidates <= 256:
            raise RunError(f"places={self.places}, candidates={self.candidates}: must be at least 1, candidates to 256")
        if self.train.learning.weights or self.train.learning.products:
            able = kind_names(lambda kind: kind.learning and not kind.conditioned)
            raise RunError(f"train.kind={self.train.kind!r}: is learned from rewards; a student is one of {able}")
        plain = TrainConfig()
        for name in ("loss_at", "zeta", "kl_target"):
            if getattr(self.train, name) != getattr(plain, name):
                raise RunError(f"train.{name}: shapes targets made of rewards; teachers' values are taught as they are")


def load_config(path: Path) -> DistillConfig:
    """Read and check a distillation's file.

    Raises:
        RunError: naming the file and the key.
    """
    config: DistillConfig = read_config(path, DistillConfig)
    return replace(
        config,
        rollouts=relative(path, config.rollouts),
        prompts=relative(path, config.prompts) if config.prompts else None,
        teachers=all_beside(path, config.teachers, "teachers"),
    )


def distill(config: DistillConfig, progress: bool = True, say: Callable[[str], None] = print) -> None:
    """Teach, export, tune. Training resumes after its last whole epoch; a value that is there is left as it is."""
    folder, path = Path(config.folder), config.policy or str(SHIPPED_POLICY)
    value = folder / "value"
    with Sitting(folder / "report.json", "distillation") as sitting:
        state = _distill(config, path, value, progress)
        sitting.done({} if state is None else outcome(state), state is not None)
    if state is None:
        say(f"{value}: is there already")
    else:
        best = state.history[state.best - 1]
        for name, measured in best["held_out"].items():
            explained, ranking = best["explained"][name], measured["ranking"]
            say(f"{name}: {explained:.1%} of the teacher's variance, siblings ranked as it does {ranking:.3f}")
    say(serve_line(path, [str(value)]))


def _distill(config: DistillConfig, path: str, value: Path, progress: bool) -> TrainingState | None:
    """How training ended; None where the value was there."""
    folder, rollouts = Path(config.folder), Path(config.rollouts)
    made = durable.read_json(rollouts / MANIFEST)
    policy = load_policy(path, config.engine)
    check_policy(rollouts, path, identify(policy).exact)
    teachers, objectives, files = load_teachers(config.teachers, policy)
    instructions = _instructions(config)
    about = {"teachers": files, "rollouts": made, "seed": config.seed, "train": asdict(config.train)}
    about |= {"places": config.places, "candidates": config.candidates}
    if instructions is not None:
        objectives += instructions.objectives
        about["words"] = dict(config.words)
    _all_different(objectives)
    durable.write_or_match(folder / "training" / MANIFEST, about)
    if is_there(value, about, bool(config.train.beta_prompts)):
        return None
    forests = [read_shard(shard_path(rollouts, index)) for index in range(made["shards"])]
    trees = [forest.tree(root) for forest in forests for root in forest.roots.tolist()]
    if instructions is not None:
        teachers.append(instructions.teacher(policy, trees))
    queries = Queries(config.places, config.candidates, made["settings"]["top_k"])
    data = teach(policy, teachers, trees, queries, config.train.held_out, config.seed, progress)
    names = [objective.name for objective in objectives]
    student = make_trainee(policy, len(names), config.train, config.seed)
    state = train(
        student,
        data,
        names,
        config.train,
        config.seed,
        folder / "training",
        policy.device,
        progress,
        _units(data, len(names) - len(config.words)),
        noiseless=True,
    )
    plot(state.history, state.best, folder / "training")
    if config.words and config.train.beta_prompts:
        scored = len(names) - len(config.words)
        betas = told_betas(read_places(policy, student, data.held_out.trees, slice(scored, None)))
        told = zip(objectives[scored:], betas, strict=True)
        objectives[scored:] = [replace(each, recommended_beta=round(beta, 3)) for each, beta in told]
    held_out = data.held_out.forest
    prompts = [held_out.own_tokens(root) for root in held_out.roots[: config.train.beta_prompts].tolist()]
    longest = made["settings"]["shape"]["max_tokens"]

    def tune(place: Path) -> None:
        if prompts:
            engine = Engine(policy, [load_value(place, policy)], config.engine)
            tune_folder(engine, place, prompts, longest, queries.top_k, config.seed, progress, list(config.words))

    export(value, config.train, policy, student, objectives, {**about, **outcome(state)}, tune)
    return state


def _units(data: TrainingData, scored: int) -> list[float]:
    """What each objective's error is divided by: 1 for the first ``scored``, whose values are in z-units; what is
    taught in words is in nats, and some words move a policy more than others.
    """
    taught = torch.cat([tree.drawn.targets for tree in data.train.trees])
    spread = [float(column.std(correction=0)) for column in taught.T[scored:]]
    return [1.0] * scored + [max(each, SMALLEST_UNIT) for each in spread]


def _instructions(config: DistillConfig) -> Instructions | None:
    if not config.words:
        return None
    return Instructions.read(config.words, Path(config.rollouts), Path(config.prompts) if config.prompts else None)


def _all_different(objectives: Sequence[ObjectiveConfig]) -> None:
    names = [objective.name for objective in objectives]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise RunError(f"teachers: {twice[0]!r} is scored by two of them")


def load_teachers(
    paths: Sequence[str], policy: Policy
) -> tuple[list[nn.Module], list[ObjectiveConfig], list[list[str]]]:
    """Teachers as modules of packed trees, their objectives in the same order, names and hashes of their files.

    Raises:
        LoadError: a value does not load for this policy.
        RunError: two score an objective of the same name.
    """
    modules: list[nn.Module] = []
    objectives: list[ObjectiveConfig] = []
    files: list[list[str]] = []
    for folder in (folder for path in paths for folder in value_folders(path)):
        config = ValueConfig.load(folder)
        learning = kind_of(folder, config).learning
        if learning is None or learning.teacher is None:
            able = kind_names(lambda kind: kind.learning and kind.learning.teacher)
            raise RunError(f"teachers: {folder}: kind {config.kind!r} cannot teach; {able} can")
        modules.append(learning.teacher(policy, load_value(folder, policy)).to(policy.device))
        objectives += config.objectives
        files.append([folder.name, *(file_hash(folder / file) for file in (CONFIG_FILE, WEIGHTS_FILE))])
    _all_different(objectives)
    return modules, objectives, files
