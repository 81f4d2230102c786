"""transformers' arms: ``generate()`` with its own cache, and its continuous batching, that of ``generate_batch()``."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig

from benchmarks.comparison.rounds import seconds
from benchmarks.peers.arm import Task, UnavailableError

NO_END = -1  # a token that is never drawn
STOP_SECONDS = 5


class GenerateArm:
    """Whole batches, all rows of one length."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def seconds(self, prompts: list[list[int]], tokens: int) -> float:
        return seconds(partial(self.run, prompts, tokens))

    def run(self, prompts: list[list[int]], tokens: int) -> None:
        ids = torch.tensor(prompts, device=self._model.device)
        with torch.inference_mode():
            found = self._model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                top_k=0,
                max_new_tokens=tokens,
                eos_token_id=None,
                pad_token_id=0,
            )
        assert found.shape[1] == ids.shape[1] + tokens

    def close(self) -> None:
        pass


class ContinuousArm:
    """Rows as they come, over a paged cache.

    The cache has as many blocks as the rows need: left alone it takes nine tenths of the memory on a CPU too, and
    clears them at every start. Cache and manager are kept from one call to the next, and starting and stopping their
    thread, half a second, is not counted: a server does it once.
    """

    def __init__(self, model: Any, task: Task) -> None:
        self._model = model
        page = ContinuousBatchingConfig().page_size
        self._config = ContinuousBatchingConfig(
            num_blocks=task.rows * -(-task.length // page) + 1,
            max_batch_tokens=max(512, task.rows * task.prompt),
            max_requests_per_batch=task.rows,
            auto_switch_to_flash=False,
            allow_block_sharing=False,
        )
        self._sampling = GenerationConfig(do_sample=True, top_k=0, eos_token_id=NO_END, pad_token_id=0)

    def seconds(self, prompts: list[list[int]], tokens: int) -> float:
        with self._model.continuous_batching_context_manager(
            generation_config=self._sampling,
            continuous_batching_config=self._config,
            timeout=STOP_SECONDS,
            persistent_manager=True,
            warmup=False,
        ) as manager:
            return seconds(partial(self._run, manager, prompts, tokens))

    def _run(self, manager: Any, prompts: list[list[int]], tokens: int) -> None:
        manager.add_requests(prompts, max_new_tokens=tokens)
        missing = len(prompts)
        while missing:
            answer = manager.get_result(timeout=1)
            if answer is None and manager.is_running():
                continue
            if answer is None or answer.error or len(answer.generated_tokens) != tokens:
                raise UnavailableError(f"generate_batch: {answer.error if answer else 'its thread has ended'}")
            missing -= 1

    def close(self) -> None:
        self._model.destroy_cached_continuous_batching_manager()
