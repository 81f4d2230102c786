"""A reward that is an instruction: how much likelier the policy finds a response if it was told so.

    R(x, y) = (log pi(y | x, told) - log pi(y | x)) / |y|        nats per token, over the whole vocabulary

What the response says about the instruction, in the policy's own eyes; no other model and no list of words. It is what
an objective in words adds up while decoding (``PromptedObjective``), of a whole response, so a value that learns it
steers by the same words at no price per token. An empty response says nothing: 0.

Rollouts are read as the trees that they are, every token once, and with the stop tokens that ended them: where to end
is part of what words ask for. Texts alone do not say whether they had come to their end; that token is left out then.
Of a tree, R is less its mean over the tree's responses: how much an instruction suits a prompt is nothing that steering
could change, and as much of the variance as what the answers say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mavis_core.api.errors import RewardError, RunError
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.model.policy import Policy
from value_models.prompts import Prompt, place_of
from value_models.rollouts.forest import Forest
from value_models.rollouts.packing import NOTHING, pack
from value_models.rollouts.reading import asked_logprobs, below, logprobs_after

PADDED_TOKENS = 8192
"""Of one forward."""


class Reader:
    """The policy as a reader of finished texts; remembers what it last read without an instruction, which all
    instructions of a run are compared with.

    Args:
        load: the policy, asked for once, when something is first read.
    """

    def __init__(self, load: Callable[[], Policy]) -> None:
        self._load = load
        self._last: tuple[list[tuple[list[int], list[int]]], list[float]] = ([], [])

    @property
    def policy(self) -> Policy:
        return self._load()

    def plain(self, texts: list[tuple[list[int], list[int]]]) -> list[float]:
        if self._last[0] != texts:
            self._last = (texts, self.read(texts))
        return self._last[1]

    @torch.inference_mode()
    def read(self, texts: Sequence[tuple[list[int], list[int]]]) -> list[float]:
        """log pi of every response, summed over its tokens: 0 for none.

        Args:
            texts: (prompt, response) token ids.
        """
        found = [0.0] * len(texts)
        order = sorted((i for i in range(len(texts)) if texts[i][1]), key=lambda i: sum(map(len, texts[i])))
        while order:
            longest = sum(map(len, texts[order[-1]]))
            count = max(1, PADDED_TOKENS // longest)
            order, own = order[:-count], order[-count:]
            for i, total in zip(own, self._forward([texts[i] for i in own], longest), strict=True):
                found[i] = total
        return found

    def _forward(self, texts: Sequence[tuple[list[int], list[int]]], longest: int) -> list[float]:
        """Padded on the right, where causal attention does not look from any token that counts."""
        policy = self.policy
        ids = torch.zeros(len(texts), longest, dtype=torch.int64)
        for row, (prompt, response) in enumerate(texts):
            ids[row, : len(prompt) + len(response)] = torch.tensor([*prompt, *response])
        ids = ids.to(policy.device)
        hidden = policy.backbone.base(input_ids=ids, use_cache=False).last_hidden_state
        rows = torch.tensor([row for row, (_, response) in enumerate(texts) for _ in response])
        at = torch.tensor([len(p) + i for p, response in texts for i in range(len(response))])
        rows, at = rows.to(policy.device), at.to(policy.device)
        logprobs = logprobs_after(policy, hidden[rows, at - 1], ids[rows, at])
        totals = torch.zeros(len(texts), dtype=torch.float64).index_add(0, rows.cpu(), logprobs.double().cpu())
        found: list[float] = totals.tolist()
        return found


@dataclass(frozen=True, slots=True)
class Words:
    """The reward of one instruction.

    Attributes:
        name, description: of the reward.
        instruction: as a person would say it.
        reader: the policy's; one for all instructions of a run.
    """

    name: str
    description: str
    instruction: str
    reader: Reader

    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        tokenizer = self._tokenizer
        told, most = self._told(prompts), self.reader.policy.max_model_len
        # Text that is encoded anew can be a few tokens more than were drawn; what the context has no room for is cut.
        answers = [
            tokenizer.encode(response, add_special_tokens=False)[: max(0, most - len(prompt))]
            for response, prompt in zip(responses, told, strict=True)
        ]
        plain = [prompt.encode(tokenizer) for prompt in prompts]
        with_words = self.reader.read(list(zip(told, answers, strict=True)))
        without = self.reader.plain(list(zip(plain, answers, strict=True)))
        return [
            (one - other) / max(1, len(answer)) for one, other, answer in zip(with_words, without, answers, strict=True)
        ]

    def score_trees(
        self, prompts: Sequence[Prompt], forest: Forest, progress: Callable[[float], object]
    ) -> list[float]:
        """Of every leaf of ``forest``, in order, less the mean of its tree; what the policy finds without the
        instruction stands in the forest.

        Args:
            prompts: of every tree.
            progress: told, tree by tree, which share more is read.
        """
        found: list[float] = []
        for root, told in zip(forest.roots.tolist(), self._told(prompts), strict=True):
            tree = forest.tree(root)
            drawn = np.flatnonzero(np.repeat(tree.parent >= 0, tree.length))
            packed = pack(0, tree, NOTHING, (drawn, np.zeros((len(drawn), 0))))
            gain = np.zeros(len(tree.tokens))
            gain[drawn] = asked_logprobs(self.reader.policy, below(packed, told)).numpy()
            gain[drawn] -= tree.base_logprobs[drawn]
            each = (tree.path_sums(gain) / np.maximum(1, tree.path_lengths))[tree.leaves]
            found += (each - each.mean()).tolist()
            progress(1 / len(forest.roots))
        return found

    def check(self, prompts: Sequence[Prompt], max_tokens: int) -> None:
        """That every prompt carries the instruction and a whole response.

        Raises:
            RewardError: naming the reward and the prompt.
        """
        most = self.reader.policy.max_model_len
        for prompt in self._told(prompts):
            if len(prompt) + max_tokens > most:
                raise RewardError(
                    self.name,
                    f"words: a prompt of {len(prompt)} tokens with the instruction and a response of {max_tokens} are "
                    f"more than the policy's {most}",
                )

    @property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = self.reader.policy.tokenizer
        if tokenizer is None:
            raise RewardError(self.name, "words: the policy has no tokenizer")
        return tokenizer

    def _told(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Token ids of the prompts with the instruction."""
        tokenizer = self._tokenizer
        place = place_of(tokenizer)
        try:
            return [prompt.told(self.instruction, place).encode(tokenizer) for prompt in prompts]
        except RunError as error:
            raise RewardError(self.name, f"words: {error}") from error
