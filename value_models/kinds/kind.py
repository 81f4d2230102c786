"""What everything else knows of a kind of value: one record.

Loading, serving, training, distilling and evaluating ask the record, never which kind it is. A new kind is a module
with its ``Kind``, a line in ``registry`` and a part of docs/values.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from mavis_core.api.messages import ObjectiveInfo
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.model.policy import Policy
from mavis_core.values.protocol import ValueFunction
from value_models.value_config import ValueConfig


@dataclass(frozen=True, slots=True)
class Learning:
    """How values of a kind are learned. A *trainee* is a module that of a ``Batch`` of packed trees gives predictions
    (A, M) in z-units, with one more column for the KL to come or one for each product where that is learned too.

    Attributes:
        fresh: (policy, M, the run's ``train`` part, largest weight of an objective in training or None where weights
            are no input) -> an untrained trainee; the caller seeds torch.
        save: (folder, config, trainee): write what ``Kind.load`` reads, with the architecture in the config.
        teacher: (policy, loaded value) -> a trainee that says what the value says, for students to learn from and for
            measures; None where that is not possible.
        weights: values learn with the row's weights as an input, from trees that have weights of their own, and learn
            the KL to come too; objectives have a ``pull_range``.
        products: values learn the products of two rewards too, in the order of ``moments.pairs``.
        check: (the ``train`` part, the policy's tokenizer): raise RunError for what would go wrong late; None where
            nothing would.
    """

    fresh: Callable[[Policy, int, Any, float | None], nn.Module]
    save: Callable[[Path, ValueConfig, Any], None]
    teacher: Callable[[Policy, Any], nn.Module] | None = None
    weights: bool = False
    products: bool = False
    check: Callable[[Any, Tokenizer], None] | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value.

    Attributes:
        name: in config.json.
        value: class of the loaded values.
        load: (folder, its config, its objectives, policy) -> the value. May raise whatever torch and transformers do
            about an architecture or tensors that do not fit.
        reads_policy: values read the policy's hidden state, so they need their policy's weights, rounded or not.
        conditioned: values take the weights into account (``ValueSpec.conditioned``).
        additive: ``ObjectiveInfo.additive``.
        stack: values of this kind -> as few as can score them all; None where each runs alone.
        beside: (folder, its config) -> further folders that a value is read from.
        learning: None where values are not trained here.
    """

    name: str
    value: type[Any]
    load: Callable[[Path, ValueConfig, Sequence[ObjectiveInfo], Policy], ValueFunction]
    reads_policy: bool = False
    conditioned: bool = False
    additive: bool = False
    stack: Callable[[Sequence[Any]], Sequence[ValueFunction]] | None = None
    beside: Callable[[Path, ValueConfig], list[Path]] = lambda folder, config: []
    learning: Learning | None = None
