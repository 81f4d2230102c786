"""An evaluation's own rewards as what ranks the texts of a search; they read prompts as their authors wrote them."""

from __future__ import annotations

from collections.abc import Sequence

from mavis_core.api.tokenizer import Tokenizer
from value_models.prompts import Prompt
from value_models.rewards.reward import Guarded


class PromptRewards:
    """A ``SequenceScorer``. A search knows a prompt by the text of its tokens; rewards are given the prompt itself."""

    def __init__(self, rewards: Sequence[Guarded], prompts: Sequence[Prompt], tokenizer: Tokenizer) -> None:
        self.names = tuple(reward.name for reward in rewards)
        self._rewards = rewards
        texts = [tokenizer.decode(prompt.encode(tokenizer), skip_special_tokens=True) for prompt in prompts]
        self._prompts = dict(zip(texts, prompts, strict=True))

    def score(self, prompts: Sequence[str], responses: Sequence[str]) -> list[tuple[float, ...]]:
        """(N, M), in the units of the rewards; raises RewardError."""
        asked = [self._prompts[prompt] for prompt in prompts]
        return list(zip(*(reward.score(asked, responses) for reward in self._rewards), strict=True))
