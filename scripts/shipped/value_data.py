"""Rollouts to regression examples: the policy's hidden state before every answer token, and its target.

Monte-Carlo: the target of V(s + a) at every token of an answer is the answer's final z-scored reward
(MAVIS, training; every token instead of node ends, which flat rollouts do not have).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from mavis_core.policy import Policy

HELD_OUT = 0.1
ROWS = 32


@dataclass(frozen=True, slots=True)
class Normalisation:
    """z-scoring constants of M rewards, measured on the base model's samples: (M,) each."""

    mean: Tensor
    std: Tensor

    @classmethod
    def measure(cls, rewards: Tensor) -> Normalisation:
        return cls(rewards.mean(0), rewards.std(0))

    def apply(self, rewards: Tensor) -> Tensor:
        return (rewards - self.mean) / self.std


@dataclass(frozen=True, slots=True)
class Examples:
    """One example per answer token.

    Attributes:
        hidden: (E, D) float32, the policy's last hidden state at s.
        tokens: (E,) int64, a.
        rollout: (E,) int64, which rollout it belongs to.
    """

    hidden: Tensor
    tokens: Tensor
    rollout: Tensor

    def take(self, mask: Tensor) -> Examples:
        return Examples(self.hidden[mask], self.tokens[mask], self.rollout[mask])


@torch.inference_mode()
def collect(policy: Policy, sequences: list[Tensor], prompt_lengths: Tensor) -> Examples:
    """Run every sequence through the policy once and keep the states before its answer tokens."""
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    starts = prompt_lengths.tolist()
    hidden: dict[int, Tensor] = {}
    for first in tqdm(range(0, len(order), ROWS), unit="batch", mininterval=5):
        chosen = order[first : first + ROWS]
        # Padding lies to the right, where causal attention never looks.
        padded = pad_sequence([sequences[i][:-1] for i in chosen], batch_first=True)
        states = policy.backbone.base(input_ids=padded.to(policy.device), use_cache=False).last_hidden_state
        for i, row in zip(chosen, states.float().cpu(), strict=True):
            hidden[i] = row[starts[i] - 1 : len(sequences[i]) - 1].clone()
    answers = [sequence[start:] for sequence, start in zip(sequences, starts, strict=True)]
    lengths = torch.tensor([len(tokens) for tokens in answers])
    rollout = torch.arange(len(sequences)).repeat_interleave(lengths)
    return Examples(torch.cat([hidden[i] for i in range(len(sequences))]), torch.cat(answers), rollout)


def held_out(rollouts: int) -> Tensor:
    """Which rollouts are held out: (N,) bool, the last tenth (rollouts have distinct prompts)."""
    return torch.arange(rollouts) >= int(rollouts * (1 - HELD_OUT))
