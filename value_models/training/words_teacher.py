"""A teacher of ``mavis distill`` that is an instruction: what the policy would find of every token, if it was told so.

    V(s + a) = log pi(a | s, told) - log pi(a | s)        nats

is what an objective in words says while decoding (``PromptedObjective``), and the best tilt there is for the log-ratio
of a whole response as the reward: E[exp(R)] over all that can follow s + a is exp of the log-ratio up to and with a,
since what the told policy does from there on sums to 1. So a student of it needs no returns, which are noisy; it learns
from any responses of the policy, few of each prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mavis_core.api.errors import RunError
from mavis_core.api.prompted import RECOMMENDED_BETA, WEIGHT_RANGE
from mavis_core.model.policy import Policy
from value_models import durable
from value_models.prompts import Prompt, file_hash, place_of, read_prompts
from value_models.rollouts.forest import Forest
from value_models.rollouts.packing import Batch
from value_models.rollouts.reading import asked_logprobs, below
from value_models.rollouts.shards import MANIFEST
from value_models.value_config import ObjectiveConfig


class WordsTeacher(nn.Module):
    """Of a ``Batch`` gives V of M instructions, (A, M).

    Args:
        policy: frozen; not part of the module's parameters.
        told: by tree (its ``PackedTree.key``), per instruction, the token ids of its prompt with the instruction.
    """

    def __init__(self, policy: Policy, told: Sequence[Sequence[Sequence[int]]]) -> None:
        super().__init__()
        self._policy = (policy,)  # in a tuple, so that it is no sub-module
        self._told = told

    def forward(self, batch: Batch) -> Tensor:
        (policy,) = self._policy
        found = []
        for tree in batch.trees:
            plain = asked_logprobs(policy, tree, batch.every_token)
            told = [asked_logprobs(policy, below(tree, ids), batch.every_token) for ids in self._told[tree.key]]
            found.append(torch.stack(told, dim=1) - plain[:, None])
        return torch.cat(found).to(batch.ids.device)


@dataclass(frozen=True, slots=True)
class Instructions:
    """What is taught in words.

    Attributes:
        words: objective -> instruction.
        prompts: of the rollouts' file.
    """

    words: Mapping[str, str]
    prompts: Sequence[Prompt]

    @classmethod
    def read(cls, words: Mapping[str, str], rollouts: Path, prompts: Path | None) -> Instructions:
        """With the prompts that ``rollouts`` were made from; None: the file of their name beside the folder.

        Raises:
            RunError: the file is not there, or is another one.
        """
        made = durable.read_json(rollouts / MANIFEST)
        file = prompts or rollouts.parent / made["prompts_file"]
        if not file.is_file():
            raise RunError(f"prompts: {file}: no such file; words go into the prompts that {rollouts} was made from")
        if file_hash(file) != made["prompts_hash"]:
            raise RunError(f"prompts: {file}: is not what was rolled out into {rollouts}")
        return cls(words, read_prompts(file, made["prompts"]))

    @property
    def objectives(self) -> list[ObjectiveConfig]:
        """Their values are nats already. Of the words weight 1 is the policy that is told; for a student see
        ``told_beta``.
        """
        told = self.words.items()
        return [ObjectiveConfig(name, text, 0.0, 1.0, RECOMMENDED_BETA, WEIGHT_RANGE) for name, text in told]

    def teacher(self, policy: Policy, trees: Sequence[Forest]) -> WordsTeacher:
        """Of ``trees``, whose place in the sequence is their key.

        Raises:
            RunError: a prompt is a plain text, the policy takes no instructions, or a tree has no room for one.
        """
        assert policy.tokenizer is not None, "words need a tokenizer"
        place, told = place_of(policy.tokenizer), []
        for tree in trees:
            asked = self.prompts[int(tree.prompt[0])]
            told.append([asked.told(text, place).encode(policy.tokenizer) for text in self.words.values()])
            longest = max(map(len, told[-1])) + int(tree.path_lengths.max())
            if longest > policy.max_model_len:
                raise RunError(
                    f"words: prompt {asked.text[:60]!r}, an instruction and a response are {longest} tokens, more than "
                    f"the policy's {policy.max_model_len}"
                )
        return WordsTeacher(policy, told)
