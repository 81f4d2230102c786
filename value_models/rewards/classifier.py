"""A reward that is one output of a transformers sequence classifier: a reward model, a sentiment or safety classifier.

The score is the raw output (a logit); rewards are z-scored later, and a logit does not saturate where a probability
does. ``probability: true`` asks for the softmax instead (sigmoid where there is one output).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from mavis_core.api.errors import ConfigError, LoadError, RewardError
from mavis_core.model.model_source import local_or_hub
from mavis_core.model.policy import resolve_device
from value_models.prompts import Prompt
from value_models.rewards.template import Template

Reads = Literal["prompt+response", "response"]


class Classifier:
    """A loaded classifier.

    Args:
        name, description: of the reward.
        model, tokenizer: of transformers, in evaluation mode.
        output: index or label name; None is the only output of a model with one.
        reads: the response alone, or the conversation with it: as ``template`` says, else through the tokenizer's chat
            template where it has one, else the prompt's text and the response as a pair.
        template: what it was trained to read; made for ``reads``.
        probability: score a probability and not the logit.
        batch_size: texts per forward; 1 where there is no token to pad with.

    Raises:
        RewardError: the model has no such output, or several and none is chosen.
    """

    def __init__(
        self,
        name: str,
        description: str,
        model: Any,
        tokenizer: Any,
        output: int | str | None = None,
        reads: Reads = "prompt+response",
        template: Template | None = None,
        probability: bool = False,
        batch_size: int = 32,
    ) -> None:
        self.name, self.description = name, description
        self.model, self.tokenizer, self.reads = model.eval(), tokenizer, reads
        self.probability, self.template = probability, template
        self.output = _choose(name, model.config, output)
        tokenizer.truncation_side = "left"  # what is scored stands at the end
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        if model.config.pad_token_id is None:
            model.config.pad_token_id = tokenizer.pad_token_id
        self.batch_size = 1 if tokenizer.pad_token_id is None else batch_size

    @classmethod
    def load(cls, name: str, description: str, path: str, device: str = "cpu", **settings: Any) -> Classifier:
        """From a local folder or a hub id, to a device as ``resolve_device`` takes it; never runs code from it.

        Raises:
            RewardError: naming the reward and the path or the device.
        """
        try:
            place, source = resolve_device(device), local_or_hub(path)
        except (ConfigError, LoadError) as error:
            raise RewardError(name, str(error)) from error
        try:
            model, loading = AutoModelForSequenceClassification.from_pretrained(
                source, trust_remote_code=False, use_safetensors=True, output_loading_info=True
            )
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        except (OSError, ValueError, SafetensorError) as error:
            raise RewardError(name, f"classifier={path!r}: {error}") from error
        if loading["missing_keys"]:
            missing = ", ".join(sorted(loading["missing_keys"]))
            raise RewardError(name, f"classifier={path!r}: has no weights for {missing}; is it a sequence classifier?")
        return cls(name, description or f"a classifier's output ({path})", model.to(place), tokenizer, **settings)

    @torch.inference_mode()
    def score(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[float]:
        scores: list[float] = []
        for start in range(0, len(responses), self.batch_size):
            own = slice(start, start + self.batch_size)
            batch = self._encode(prompts[own], responses[own]).to(self.model.device)
            logits = self.model(**batch).logits.float()
            if logits.shape[1] != self.model.config.num_labels:
                raise RewardError(self.name, f"gave {logits.shape[1]} outputs, not {self.model.config.num_labels}")
            if self.probability:
                logits = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)
            scores += logits[:, self.output].tolist()
        return scores

    def _encode(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Any:
        # Not above what the model has positions for; tokenizers without a limit state an astronomical one.
        positions = getattr(self.model.config, "max_position_embeddings", None) or self.tokenizer.model_max_length
        settings = {
            "padding": self.batch_size > 1,
            "truncation": True,
            "max_length": min(int(positions), self.tokenizer.model_max_length),
            "return_tensors": "pt",
        }
        if self.template is not None:
            pairs = zip(prompts, responses, strict=True)
            return self.tokenizer([self.template.filled(*pair) for pair in pairs], **settings)
        if self.reads == "response":
            return self.tokenizer(list(responses), **settings)
        if self.tokenizer.chat_template is None:
            return self.tokenizer([prompt.text for prompt in prompts], list(responses), **settings)
        texts = [
            self.tokenizer.apply_chat_template([*_messages(p), {"role": "assistant", "content": r}], tokenize=False)
            for p, r in zip(prompts, responses, strict=True)
        ]
        return self.tokenizer(texts, add_special_tokens=False, **settings)


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    return list(prompt.messages) or [{"role": "user", "content": prompt.text}]


def _choose(name: str, config: Any, output: int | str | None) -> int:
    """The index of the output that is asked for."""
    count = int(config.num_labels)
    labels = {str(label): int(i) for i, label in (config.id2label or {}).items()}
    known = f"it has {count} output{'s' * (count > 1)}: {', '.join(labels)}"
    if output is None:
        if count != 1:
            raise RewardError(name, f"output: must be chosen, {known}")
        return 0
    if isinstance(output, str):
        if output not in labels:
            raise RewardError(name, f"output={output!r}: {known}")
        return labels[output]
    if not 0 <= output < count:
        raise RewardError(name, f"output={output}: {known}")
    return output
