"""Grows trees on an engine, level by level: all open nodes of all prompts are continued in one batch.

Each open node is one engine request, with as many choices as the node has children; they share the KV of its text. At
the next level the longer text is a request of its own, most of which the engine's prefix cache still holds.

Every draw derives from (seed, prompt, path in the tree), so a tree does not depend on the others of its batch.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mavis_core.api.guidance import Guidance
from mavis_core.api.sampling_params import SamplingParams
from mavis_core.engine import Engine
from mavis_core.offline import CompletionOutput, generate
from mavis_core.schedule.seeds import seed_of
from value_models.rollouts.forest import LENGTH, OPEN, STOP, Forest
from value_models.rollouts.layer_progress import LayerProgress
from value_models.rollouts.shape import Shape


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens of one node, their log-probabilities and steering KL, see ``Forest``."""

    tokens: list[int]
    policy_logprobs: list[float]
    base_logprobs: list[float]
    steering: list[float]

    def cut(self, at: int) -> tuple[Segment, Segment]:
        """What stands before and from token ``at``."""
        columns = (self.tokens, self.policy_logprobs, self.base_logprobs, self.steering)
        return Segment(*(c[:at] for c in columns)), Segment(*(c[at:] for c in columns))  # type: ignore[arg-type]


@dataclass(slots=True, eq=False)
class Node:
    """A node while its tree grows.

    Attributes:
        prompt: its number in the file.
        path: the choices below the prompt that lead here.
        before: all tokens before the node's own; the first ``prompt_length`` are the prompt.
        guidance: of its tree.
    """

    prompt: int
    path: tuple[int, ...]
    before: list[int]
    prompt_length: int
    segment: Segment
    guidance: Guidance
    finish: int = OPEN
    tail: bool = False
    children: list[Node] = field(default_factory=list)

    @classmethod
    def root(cls, prompt: int, ids: Sequence[int], guidance: Guidance) -> Node:
        nothing = [0.0] * len(ids)
        return cls(prompt, (), [], len(ids), Segment(list(ids), nothing, nothing, nothing), guidance)

    @property
    def text(self) -> list[int]:
        return self.before + self.segment.tokens

    def left(self, shape: Shape) -> int:
        """Tokens to the limit."""
        return shape.max_tokens - (len(self.text) - self.prompt_length)


def grow(
    engine: Engine,
    prompts: Sequence[tuple[int, Sequence[int]]],
    shape: Shape,
    guidance: Guidance | Sequence[Guidance],
    top_k: int,
    seed: int,
    objectives: Sequence[str] = (),
    progress: Callable[[float], object] = lambda share: None,
) -> Forest:
    """One tree below every prompt.

    Args:
        engine: idle.
        prompts: (number in its file, token ids) each; a prompt and ``shape.max_tokens`` fit the engine's context.
        shape: of every tree.
        guidance: what steers the policy, one for all or one per prompt; without weights it is the base model at T = 1
            over its ``top_k`` most likely tokens.
        top_k: 0 is the whole vocabulary, for unguided rollouts.
        seed: everything is a function of it.
        objectives: whose beta * lambda is kept with every tree; for values conditioned on it.
        progress: told, now and then, which share more of the whole is there.
    """
    each = [guidance] * len(prompts) if isinstance(guidance, Guidance) else guidance
    roots = [Node.root(number, ids, own) for (number, ids), own in zip(prompts, each, strict=True)]
    level = roots
    for layer in range(shape.depth):
        samplings = [_sampling(node, layer, shape, top_k, seed) for node in level]
        steering = [_for_layer(node.guidance, layer) for node in level]
        growing = LayerProgress(shape, layer, samplings, progress)
        answers = generate(engine, [node.text for node in level], samplings, steering, drawn=growing.drawn)
        growing.done()
        following: list[Node] = []
        for node, choices in zip(level, answers, strict=True):
            children = [_child(node, choice, node.left(shape)) for choice in choices]
            if shape.splits(layer):
                children = [_split(child, seed) for child in children]
            node.children += children
            following += [child for child in children if child.finish == OPEN]
        level = following
    return Forest.concatenate([_flatten(root, objectives) for root in roots])


def _sampling(node: Node, layer: int, shape: Shape, top_k: int, seed: int) -> SamplingParams:
    """For the children of ``node``, which are as many choices of one request and share one segment length."""
    guidance = node.guidance
    return SamplingParams(
        n=shape.branches(layer),
        max_tokens=shape.segment(node.left(shape), layer, random.Random(_seed(seed, node, "segment"))),
        min_tokens=int(layer == 0 and not guidance.allow_empty),
        top_k=0 if guidance.active else top_k,
        seed=_seed(seed, node, "draw"),
        logprobs=None if guidance.active else 0,
    )


def _for_layer(guidance: Guidance, layer: int) -> Guidance:
    """Only the first token of a response is kept from being a stop token, not the first of every segment."""
    if not guidance.active:
        return guidance
    return dataclasses.replace(guidance, allow_empty=layer > 0 or guidance.allow_empty, report=True)


def _child(parent: Node, choice: CompletionOutput, left: int) -> Node:
    if choice.reports:
        policy, base = [r.logprob for r in choice.reports], [r.base_logprob for r in choice.reports]
        steering = [r.steering_nats for r in choice.reports]
    else:
        policy, base = [t.drawn_logprob for t in choice.logprobs], [t.logprob for t in choice.logprobs]
        steering = [0.0] * len(policy)
    ended = STOP if choice.finish_reason == "stop" else LENGTH if len(choice.token_ids) == left else OPEN
    segment = Segment(choice.token_ids, policy, base, steering)
    path = (*parent.path, choice.index)
    return Node(parent.prompt, path, parent.text, parent.prompt_length, segment, parent.guidance, ended)


def _split(child: Node, seed: int) -> Node:
    """Cut a response that has ended at a random token, so that others can grow from there; its rest stays as a tail."""
    count = len(child.segment.tokens)
    if child.finish != STOP or count < 2:
        return child
    head, rest = child.segment.cut(random.Random(_seed(seed, child, "split")).randint(1, count - 1))
    node = dataclasses.replace(child, segment=head, finish=OPEN, children=[])
    path = (*child.path, -1)
    node.children = [dataclasses.replace(child, path=path, before=node.text, segment=rest, tail=True, children=[])]
    return node


def _flatten(root: Node, objectives: Sequence[str]) -> Forest:
    nodes: list[tuple[Node, int]] = []

    def visit(node: Node, parent: int) -> None:
        nodes.append((node, parent))
        at = len(nodes) - 1
        for child in node.children:
            visit(child, at)

    visit(root, -1)
    lengths = np.array([len(node.segment.tokens) for node, _ in nodes])
    guidance = root.guidance
    tilt_weights = np.array(
        [(guidance.beta or 0.0) * guidance.weights.get(name, 0.0) for name in objectives], dtype=np.float32
    )

    def column(values: Iterator[int]) -> NDArray[Any]:
        return np.fromiter(values, dtype=np.int64, count=len(nodes))

    def flat(name: str, dtype: type) -> NDArray[Any]:
        return np.array([x for node, _ in nodes for x in getattr(node.segment, name)], dtype=dtype)

    return Forest(
        prompt=column(node.prompt for node, _ in nodes),
        parent=column(parent for _, parent in nodes),
        layer=column(len(node.path) - 1 for node, _ in nodes),
        start=np.cumsum(lengths) - lengths,
        length=lengths,
        finish=column(node.finish for node, _ in nodes),
        tail=column(int(node.tail) for node, _ in nodes),
        tokens=flat("tokens", np.int64),
        policy_logprobs=flat("policy_logprobs", np.float32),
        base_logprobs=flat("base_logprobs", np.float32),
        tilt_weights=np.tile(tilt_weights, (len(nodes), 1)),
        steering=flat("steering", np.float32),
    )


def _seed(seed: int, node: Node, purpose: str) -> int:
    return seed_of(f"{seed}/{node.prompt}/{'.'.join(map(str, node.path))}/{purpose}")
