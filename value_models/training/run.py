"""The steps of a run, each resumable and each usable alone: rollouts, labels, training; ``fit`` chains them.

Whatever can be wrong is looked at before anything takes long: the file's keys, the prompts, the rewards (each scores
two texts first), how many prompts are held out, an ``lm``'s backbone, the policy's context.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mavis_core.api.errors import RunError
from mavis_core.api.guidance import MAX_WEIGHT
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.engine import Engine
from mavis_core.model.policy import Policy, read_tokenizer
from value_models import durable
from value_models.folders import load_value
from value_models.identity import identify, tokenizer_hash
from value_models.kinds.moments import pairs
from value_models.loading import SHIPPED_POLICY, assemble, load_policy, value_folders
from value_models.prompts import Prompt, file_hash, read_prompts
from value_models.rewards.registry import build
from value_models.rewards.reward import Guarded
from value_models.rewards.words import Words
from value_models.rollouts.roll_out import check_policy, roll_out
from value_models.rollouts.shards import MANIFEST, read_shard, shard_path
from value_models.rollouts.user_turns import FromPolicy, sample_user_turns
from value_models.training import data, labels
from value_models.training.export import export, is_there, make_trainee, untuned
from value_models.training.outlook import outlook
from value_models.training.plot import plot
from value_models.training.recommended_beta import tune_folder
from value_models.training.run_config import KL_TO_GO, RunConfig
from value_models.training.sittings import Sitting
from value_models.training.trainer import TrainingState, train
from value_models.training.verdict import serve_line, verdict
from value_models.value_config import CONFIG_FILE, ValueConfig


@dataclass
class Run:
    """A run's file at work.

    Args:
        config: checked, its paths resolved.
        progress: show bars.
        say: told what is done, a line at a time.
    """

    config: RunConfig
    progress: bool = True
    say: Callable[[str], None] = print

    def __post_init__(self) -> None:
        if self.config.iterate:
            raise RunError("iterate: `mavis fit` goes through the rounds; a step of one is done by its own file")
        folder = Path(self.config.folder)
        self.rollouts_folder, self.labels_folder = folder / "rollouts", folder / "labels"
        self.training_folder, self.value_folder = folder / "training", folder / "value"
        self.report = folder / "report.json"

    @cached_property
    def prompts(self) -> list[Prompt]:
        self._write_prompts()
        return read_prompts(self.config.prompts_file, self.config.count)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return read_tokenizer(self.policy_path)

    @cached_property
    def rewards(self) -> list[Guarded]:
        return build(self.config.rewards, Path(self.config.folder) / "judges", lambda: self.policy)

    @cached_property
    def policy(self) -> Policy:
        """Loaded once for everything that reads with it."""
        return load_policy(self.policy_path, self.config.engine)

    @property
    def policy_path(self) -> str:
        return self.config.policy or str(SHIPPED_POLICY)

    @property
    def constants_folder(self) -> Path:
        """Where the z-scoring of the rewards is."""
        return Path(self.config.constants or self.labels_folder)

    def fit(self) -> None:
        """All steps."""
        self.check()
        self.roll_out(whole=True)
        self.label()
        self.train()

    def _write_prompts(self) -> None:
        """Have the policy write prompts where the run has none of its own; those that are there stay."""
        config = self.config
        if isinstance(config.prompts, FromPolicy):
            with Sitting(self.report, "prompts") as sitting:
                engine = assemble(self.policy, [], config.engine)
                drawn = sample_user_turns(
                    engine, config.prompts.from_policy, config.seed, config.prompts_file, self.progress
                )
                sitting.done({"prompts": config.prompts.from_policy, "drawn": drawn}, bool(drawn))

    def check(self) -> None:
        """All that would otherwise be found wrong only after hours of sampling."""
        self.config.train.check_libraries()
        prompts = data.split_keys([(p.text, str(p.messages)) for p in self.prompts])
        data.held_out_count(self.config.train.held_out, len(set(prompts)))
        for reward in self.rewards:
            if isinstance(reward.reward, Words):
                reward.reward.check(self.prompts, self.config.rollouts.shape.max_tokens)
            reward.try_out(self.prompts[0])
        if self.config.constants:
            labels.read_constants(self.constants_folder, list(self.config.rewards))
        check = self.config.train.learning.check
        if check is not None and not (self.value_folder / CONFIG_FILE).is_file():
            check(self.config.train, self.tokenizer)

    def roll_out(self, whole: bool = False) -> None:
        """Sample; before that, say what it will take, and with ``whole`` what all other steps will."""
        prompts = self.prompts  # written first, where the policy writes them: the manifest has their hash
        with Sitting(self.report, "rollouts") as sitting:
            config, folder = self.config, self.rollouts_folder
            values = [folder for value in config.values for folder in value_folders(value)]
            engine = assemble(self.policy, values, config.engine)

            def announce(encoded: Sequence[list[int]]) -> None:
                if not (self.value_folder / CONFIG_FILE).is_file():
                    foreseen = outlook(self, engine, encoded, whole)
                    self.say("\n".join(foreseen.lines))
                    if whole:
                        sitting.foresee(foreseen.record)

            origin = self._origin()
            made = roll_out(engine, prompts, config.rollouts, config.seed, folder, origin, self.progress, announce)
            shards = durable.read_json(folder / MANIFEST)["shards"]
            tokens = sum(read_shard(shard_path(folder, index)).sampled for index in range(shards))
            sitting.done({"shards": shards, "tokens_sampled": tokens}, bool(made))

    def _origin(self) -> dict[str, Any]:
        """What the rollouts are made from."""
        prompts = self.config.prompts_file
        folders = [folder for value in self.config.values for folder in value_folders(value)]
        training = [ValueConfig.load(folder).training for folder in folders]
        return {"prompts_file": prompts.name, "prompts_hash": file_hash(prompts), "values": training}

    def label(self) -> None:
        with Sitting(self.report, "labels") as sitting:
            shards, labelled = self._label()
            sitting.done({"shards": shards}, bool(labelled))

    def _label(self) -> tuple[int, int]:
        """(shards there are, shards labelled now)."""
        made = durable.read_json(self.rollouts_folder / MANIFEST)
        file = self.config.prompts_file
        now = {"prompts": len(self.prompts), "prompts_hash": file_hash(file)}
        if any(made[key] != now[key] for key in now):
            raise RunError(f"{file}: is not what was rolled out into {self.rollouts_folder}")
        tokenizer = self.tokenizer
        check_policy(self.rollouts_folder, self.policy_path, {"tokenizer_hash": tokenizer_hash(tokenizer)})
        rewards, configs = self.rewards, self.config.rewards
        labelled = labels.label(
            self.rollouts_folder, self.prompts, tokenizer, rewards, configs, self.labels_folder, self.progress
        )
        return made["shards"], labelled

    def train(self) -> None:
        """Train, export, tune the recommended beta; a value that is there and tuned is left as it is."""
        about = self._provenance()
        durable.write_or_match(self.training_folder / MANIFEST, about)
        if is_there(self.value_folder, about, bool(self.config.train.beta_prompts)):
            self.say(f"{self.value_folder}: is there already\n{self.serve_line}")
            return
        with Sitting(self.report, "training") as sitting:
            state = self._train(about)
            sitting.done(outcome(state))
        self.say(self._summary(state))

    def _train(self, about: dict[str, Any]) -> TrainingState:
        config, mixture = self.config, self.config.rollouts.mixture
        described = {reward.name: reward.description for reward in self.rewards}
        constants = labels.read_constants(self.constants_folder, list(described))
        policy = self.policy
        made = self.load_data(policy)
        trainee = make_trainee(policy, len(described), config.train, config.seed, mixture.beta if mixture else None)
        units = self._units(list(described))
        state = train(
            trainee,
            made,
            list(units),
            config.train,
            config.seed,
            self.training_folder,
            policy.device,
            self.progress,
            list(units.values()),
        )
        plot(state.history, state.best, self.training_folder)
        # Targets with a KL penalty hold for wanting the objective, not for avoiding it.
        allowed = (0.0, MAX_WEIGHT) if config.train.zeta else None
        objectives = untuned(described, constants, allowed, (0.0, mixture.beta) if mixture else None)
        held_out = made.held_out.forest
        prompts = [held_out.own_tokens(root) for root in held_out.roots[: config.train.beta_prompts].tolist()]

        def tune(folder: Path) -> None:
            if prompts:
                self._tune(folder, policy, prompts)

        export(self.value_folder, config.train, policy, trainee, objectives, {**about, **outcome(state)}, tune)
        return state

    def _units(self, names: list[str]) -> dict[str, float]:
        """What the log calls every column of the targets, and what its error is divided by."""
        found = dict.fromkeys(names, 1.0)
        if self.config.train.learning.products:
            # The square of a normal reward varies by 2.
            found |= {f"{names[i]} x {names[j]}": 2**0.5 for i, j in pairs(len(names))}
        if mixture := self.config.rollouts.mixture:
            # The tilt adds up w V - W: an error of 1 in V costs w nats, in root mean square over the trees
            # beta / sqrt(3).
            found[KL_TO_GO] = mixture.beta / 3**0.5
        return found

    def load_data(self, policy: Policy) -> data.TrainingData:
        """What a value learns from and is measured on.

        Raises:
            RunError: rollouts or labels are missing, of another policy, or of other rewards than those of the anchor.
        """
        config, sources = self.config, [(self.rollouts_folder, self.labels_folder)]
        if config.anchor:
            sources.append((Path(config.anchor) / "rollouts", Path(config.anchor) / "labels"))
            labels.check_same(sources[-1][1], self.labels_folder)
        for rollouts, _ in sources:
            check_policy(rollouts, self.policy_path, identify(policy).exact)
        constants = labels.read_constants(self.constants_folder, list(config.rewards))
        return data.load(sources, constants, self.target_settings, config.train.held_out, config.seed)

    @property
    def target_settings(self) -> data.TargetSettings:
        config = self.config.train
        return data.TargetSettings(config.zeta, config.kl_target, config.learning.weights, config.learning.products)

    def _tune(self, folder: Path, policy: Policy, prompts: list[list[int]]) -> None:
        engine = Engine(policy, [load_value(folder, policy)], self.config.engine)
        settings = self.config.rollouts
        longest = settings.shape.max_tokens
        tune_folder(engine, folder, prompts, longest, settings.top_k, self.config.seed, self.progress)

    def _provenance(self) -> dict[str, Any]:
        """What the value was made from."""
        labelled = durable.read_json(self.labels_folder / MANIFEST)
        about = {"seed": self.config.seed, "train": asdict(self.config.train), **labelled}
        if self.config.anchor:
            about["anchor"] = durable.read_json(Path(self.config.anchor) / "labels" / MANIFEST)
        return about

    @property
    def serve_line(self) -> str:
        return serve_line(self.policy_path, [str(self.value_folder)])

    def _summary(self, state: TrainingState) -> str:
        betas = {o.name: o.recommended_beta for o in ValueConfig.load(self.value_folder).objectives}
        lines = verdict(state.history[state.best - 1]["held_out"], betas)
        return "\n".join([f"{self.value_folder}", *("  " + line for line in lines), self.serve_line])


def outcome(state: TrainingState) -> dict[str, Any]:
    """How training ended, for a value's provenance."""
    best = state.history[state.best - 1]
    explained = {"explained": best["explained"]} if "explained" in best else {}
    return {"epochs": state.epoch, "best_epoch": state.best, "held_out": best["held_out"], **explained}
