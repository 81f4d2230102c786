"""The engine: schedule → forward → score → tilt → sample → emit, for any number of rows at once.

Per decode step of B rows: one policy forward of B positions, and of one more for each companion (an objective in
words), one scoring of the G guided rows' K candidates (for ``head`` no further forward, for ``lm`` one small forward of
G * K positions), one host sync, which is the copy of the drawn tokens and their statistics. Row state stays on the
device between steps (``batcher.py``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from mavis_core.api.config import EngineConfig
from mavis_core.api.errors import InvalidRequestError, UnknownRequestError
from mavis_core.api.guidance import Guidance
from mavis_core.api.messages import ChoiceDelta, EngineInfo, Request, RequestOutput, StepStats, failure
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.tokenizer import Tokenizer
from mavis_core.batcher import Batcher, StepBatch
from mavis_core.emitter import Emitter
from mavis_core.grammar.compiler import GrammarCompiler
from mavis_core.grammar.matcher import Matcher
from mavis_core.model.backends import attention_backend, sdpa
from mavis_core.model.capacity import kv_blocks
from mavis_core.model.kv_pool import KVPool
from mavis_core.model.policy import Policy
from mavis_core.sample.candidates import find_candidates
from mavis_core.sample.logprobs import collect_logprobs
from mavis_core.sample.prompt_logprobs import score_prompts
from mavis_core.sample.row_tensors import RowTensors, first
from mavis_core.sample.sampler import Drawn, Logits, Tilted, draw, process_logits, score_given, tilt
from mavis_core.sample.scoring import Scored
from mavis_core.sample.untilted import settle
from mavis_core.schedule.admission import Admission
from mavis_core.schedule.new_steering import steer_rows
from mavis_core.schedule.row import Row, RowFault
from mavis_core.schedule.scheduler import Plan, Scheduler
from mavis_core.schedule.seeds import Seeds
from mavis_core.timing import StepTimer
from mavis_core.values.hot_swap import check_load, check_unload, missing, move_columns
from mavis_core.values.protocol import ValueFunction, ValueLoader
from mavis_core.values.value_set import ValueSet


class Engine:
    """One policy, its values, and the rows in flight.

    Args:
        policy: on its device.
        values: compatible with the policy (``value_models`` checks that when it loads them).
        config: see ``EngineConfig``.
        loader: loads further values at run time, or None.

    Raises:
        LoadError: values collide, not even one row fits the memory, or attention cannot be computed as asked.
    """

    def __init__(
        self,
        policy: Policy,
        values: Sequence[ValueFunction],
        config: EngineConfig,
        loader: ValueLoader | None = None,
    ) -> None:
        device, dtype = policy.device, policy.dtype
        self.policy = policy
        self.config = config
        self._attention = attention_backend(config.attention_backend, device)
        if self._attention is not sdpa:  # with which models are probed when they are loaded
            policy.backbone.probe(self._attention)
        self.loader = loader
        self.loaded = list(values)
        self.values = ValueSet(self._stacked(values))
        limits = [config.max_model_len, policy.max_model_len, *(value.spec.max_model_len for value in values)]
        longest = min(limit for limit in limits if limit is not None)
        blocks = kv_blocks(config, [policy.backbone.cache, *self.values.caches], longest, dtype, device)
        self._max_model_len = min(longest, blocks * config.block_size)
        self.pool = KVPool(policy.backbone.cache, blocks, config.block_size, dtype, device)
        self.values.bind(blocks, config.block_size, dtype, device, self._attention)
        self.scheduler = Scheduler(
            blocks,
            config.block_size,
            config.max_num_seqs,
            config.max_num_batched_tokens,
            config.enable_chunked_prefill,
            config.enable_prefix_caching,
            config.step_stretch,
        )
        self.grammars = GrammarCompiler(policy.tokenizer, policy.vocab_size, policy.stop_token_ids)
        self.seeds = Seeds(config.seed)
        self._rows: dict[str, list[Row]] = {}
        self.last_step: StepStats | None = None
        self._rebuild_for_values()

    def _rebuild_for_values(self) -> None:
        """Rebuild everything that depends on which values are loaded."""
        policy, objectives = self.policy, self.values.objectives
        self.info = EngineInfo(
            model=policy.name,
            max_model_len=self._max_model_len,
            vocab_size=policy.vocab_size,
            max_num_seqs=self.config.max_num_seqs,
            dtype=str(policy.dtype).removeprefix("torch."),
            device=str(policy.device),
            objectives=tuple(objectives),
            sampling_defaults=policy.sampling_defaults,
            kv_cache_tokens=self.pool.num_blocks * self.pool.block_size,
            kv_cache_bytes=sum(pool.data.nbytes for pool in self.pools),
            block_size=self.pool.block_size,
        )
        self._admission = Admission(
            self.info.room,
            policy.vocab_size,
            policy.stop_token_ids,
            objectives,
            policy.tokenizer,
            self.values.caching_values,
        )
        self._batcher = Batcher(self.pool, policy.vocab_size, policy.device, self._attention)
        self._emitter = Emitter(objectives)

    def _stacked(self, values: Sequence[ValueFunction]) -> Sequence[ValueFunction]:
        return values if self.loader is None else self.loader.stack(values)

    @property
    def tokenizer(self) -> Tokenizer | None:
        return self.policy.tokenizer

    @property
    def pools(self) -> list[KVPool]:
        """The policy's pool, then those of the values."""
        return [self.pool, *self.values.pools]

    @property
    def has_work(self) -> bool:
        return bool(self._rows)

    def add(self, request: Request, matcher: Matcher | None = None) -> None:
        """Queue a request.

        Args:
            matcher: of its structure if it has one, from ``grammars``; None compiles it here and now.

        Raises:
            InvalidRequestError: it cannot be served; nothing else is affected.
        """
        if request.id in self._rows:
            raise InvalidRequestError(f"request id {request.id!r} is in flight already", "id")
        if matcher is None and request.sampling.structure is not None:
            matcher = self.grammars.compile(request.sampling.structure)
        rows = self._admission.rows(self.seeds.seeded(request), matcher)
        self._rows[request.id] = rows
        self.scheduler.add(rows[0])

    def steer(
        self, request_id: str, guidance: Guidance, prompted: tuple[PromptedObjective, ...] | None = None
    ) -> tuple[int, ...]:
        """Steer a request otherwise from its next token on, between two steps.

        Args:
            prompted: its objectives in words from now on; None: those that it has.

        Returns:
            For each choice how many tokens it has, which is the number of the first one that is drawn so.

        Raises:
            UnknownRequestError, InvalidRequestError; nothing has changed then.
        """
        rows = self._rows.get(request_id)
        if rows is None:
            raise UnknownRequestError(request_id)
        request = rows[0].request.steered(guidance, prompted)
        steer_rows(rows, request, self._admission, self.scheduler)
        self._batcher.forget()
        return tuple(row.output_length for row in rows)

    def abort(self, request_id: str) -> None:
        """Drop a request; an unknown id is ignored, because the request may just have finished."""
        for row in self._rows.pop(request_id, ()):
            row.forks = []
            self.scheduler.finish(row)

    def forget_prefixes(self) -> None:
        """Empty the prefix cache, so that later answers do not depend, to the last bit, on earlier requests."""
        self.scheduler.forget_prefixes()

    def load_values(self, values: Sequence[ValueFunction]) -> None:
        """Add values that a loader has read from one place, between two steps; ``info`` lists them from then on.

        Values that are loaded already stay loaded.

        Raises:
            ValueConflictError, LoadError: see ``check_load``; nothing has changed then.
        """
        values = missing(self.loaded, values)
        check_load(values, self.loaded, self._max_model_len, self.config, self.pools)
        self._swap([*self.loaded, *values])

    def unload_value(self, name: str) -> None:
        """Unload a value, between two steps.

        Raises:
            UnknownValueError, ValueConflictError: see ``check_unload``; nothing has changed then.
        """
        check_unload(name, self.loaded, self._in_flight())
        self._swap([value for value in self.loaded if value.spec.name != name])

    def _swap(self, loaded: list[ValueFunction]) -> None:
        """Replace the set of values by one of ``loaded``, and empty the prefix cache, which the old set wrote to."""
        after = ValueSet(self._stacked(loaded))
        pool, device = self.pool, self.policy.device
        after.bind(pool.num_blocks, pool.block_size, self.policy.dtype, device, self._attention, self.values)
        move_columns(self._in_flight(), self.values, after)
        self.loaded, self.values = loaded, after
        self._rebuild_for_values()
        self.scheduler.forget_prefixes()

    def _in_flight(self) -> list[Row]:
        return [row for rows in self._rows.values() for row in rows]

    @torch.inference_mode()
    def step(self) -> list[RequestOutput]:
        """Run one step; its outputs, one per request."""
        timer, began = StepTimer(self.policy.device), time.perf_counter()
        plan = self.scheduler.schedule()
        if plan.empty:
            return []
        batch = self._batcher.prepare(plan)
        hidden = self._forward(plan, batch, timer)
        deltas = {}
        if batch.rows is not None:
            logits = process_logits(self.policy.logits(hidden), batch.rows)
            scored = self._score(batch.rows, logits, hidden, timer)
            tilted = tilt(scored, batch.rows)
            drawn = self._sample(batch.rows, logits, scored, tilted)
            deltas = self._emit(batch.rows, logits, tilted, drawn)
        self.scheduler.took(plan, time.perf_counter() - began)  # the host has waited for the device if any row decodes
        given = sum(len(delta.token_ids) for id, of_one in deltas.items() if self._scores(id) for delta in of_one)
        return self._record(plan, timer, self._outputs(plan, deltas), given)

    def _scores(self, request_id: str) -> bool:
        """Whether a request has its tokens scored, and draws none."""
        return any(row.answer for row in self._rows.get(request_id, ()))

    def _forward(self, plan: Plan, batch: StepBatch, timer: StepTimer) -> Tensor:
        """Run the policy, and let values read prompts.

        Returns:
            (B + C, D), the last hidden state of the rows that draw, then of their companions.
        """
        self._clear(plan)
        with timer.stage("policy"):
            hidden = self.policy.backbone.forward(batch.tokens, batch.positions, batch.attention)
        self.values.extend(plan.prefill)
        score_prompts(self.policy, plan, hidden)
        self._copy(plan)
        return hidden if batch.last is None else hidden[batch.last]

    def _score(self, rows: RowTensors, logits: Logits, hidden: Tensor, timer: StepTimer) -> Scored | None:
        """The candidates of the guided rows and their values; None where no row is guided."""
        guided = rows.guided
        if not guided:
            return None
        scaled, surviving = first(logits.scaled, guided), first(logits.surviving, guided)
        candidates = find_candidates(scaled, surviving, rows.k, rows.width, rows.full, rows.ends)
        if rows.given is not None:
            candidates = rows.given.beside(candidates)
        if rows.untilted is not None:
            candidates = settle(candidates, scaled, surviving, rows.untilted, rows.noise, rows.ranks)
        with timer.stage("value"):
            scored = self.values.score(rows, candidates, first(hidden, guided))
            if rows.companions is None:
                return scored
            return scored._replace(in_words=rows.companions.values(logits.raw, logits.beside, candidates.ids))

    def _sample(self, rows: RowTensors, logits: Logits, scored: Scored | None, tilted: Tilted | None) -> Drawn:
        """Draw one token per row, and tell the values which candidates were drawn."""
        drawn = score_given(draw(logits.surviving, tilted, rows), logits, tilted, rows)
        if scored is not None and drawn.chosen is not None:
            self.values.commit(rows, scored.inputs, drawn.chosen)
        return drawn

    def _emit(
        self, rows: RowTensors, logits: Logits, tilted: Tilted | None, drawn: Drawn
    ) -> dict[str, list[ChoiceDelta]]:
        """Copy the draws to the host, advance the rows' device state, and make each request's deltas."""
        draws = drawn.to_host()
        logprobs = collect_logprobs(logits.raw, logits.surviving, tilted, drawn, rows)
        rows.advance(drawn.tokens)
        return self._emitter.emit(rows.rows, draws, logprobs)

    def _clear(self, plan: Plan) -> None:
        """Zero the blocks that rows were given, in every pool: masked positions are read, and must be finite."""
        if plan.fresh:
            blocks = torch.tensor(plan.fresh).to(self.policy.device)
            for pool in self.pools:
                pool.clear(blocks)

    def _copy(self, plan: Plan) -> None:
        """Give forked rows their own copy of the prompt's half-filled block, in every pool."""
        if plan.copies:
            sources, targets = torch.tensor(plan.copies).to(self.policy.device).T
            for pool in self.pools:
                pool.copy_blocks(sources, targets)

    def _outputs(self, plan: Plan, deltas: dict[str, list[ChoiceDelta]]) -> list[RequestOutput]:
        """Group deltas by request, end finished rows, and fail requests that have a row with a fault."""
        outputs = []
        for row in plan.rows:
            if row.fault is not None and row.request.id in self._rows:
                outputs.append(self._fail(row, row.fault))
            elif row.finish_reason is not None:
                self.scheduler.finish(row)
        for request_id, found in deltas.items():
            if request_id not in self._rows:
                continue
            mine = self._rows[request_id]
            finished = all(row.finish_reason is not None for row in mine)
            if finished:
                del self._rows[request_id]
            outputs.append(
                RequestOutput(
                    request_id,
                    mine[0].prompt_length,
                    tuple(found),
                    finished,
                    prompt_logprobs=mine[0].take_prompt_logprobs(),
                    cached_tokens=mine[0].cached_tokens or 0,
                    queue_seconds=mine[0].queued or 0.0,
                )
            )
        return outputs

    def _fail(self, row: Row, fault: RowFault) -> RequestOutput:
        """End the request of a row that cannot go on. Its choices share the prompt's blocks, and so the fault."""
        for choice in self._rows[row.request.id]:
            choice.fault = fault
        self.abort(row.request.id)
        return failure(row.request.id, row.prompt_length, fault.message, fault.param)

    def _record(self, plan: Plan, timer: StepTimer, outputs: list[RequestOutput], given: int) -> list[RequestOutput]:
        self.last_step = StepStats(
            running=len(self.scheduler.running),
            waiting=len(self.scheduler.waiting),
            prompt_tokens=sum(chunk.count for chunk in plan.prefill),
            generation_tokens=sum(len(delta.token_ids) for output in outputs for delta in output.deltas) - given,
            preemptions=plan.preempted,
            kv_cache_usage=self.scheduler.usage,
            policy_forward_seconds=timer.seconds("policy"),
            value_forward_seconds=timer.seconds("value"),
            prefix_cache_queries=plan.queried,
            prefix_cache_hits=plan.cached,
            companion_tokens=plan.companion_tokens,
            scored_tokens=given,
        )
        return outputs

    def idle_stats(self) -> StepStats:
        """The statistics between two steps, so that gauges go back to 0 after the last row has left."""
        running, waiting = len(self.scheduler.running), len(self.scheduler.waiting)
        return StepStats(running, waiting, 0, 0, 0, self.scheduler.usage, 0.0, 0.0, idle=True)

    def abort_all(self) -> list[str]:
        """Drop every request, after a failed step; returns their ids.

        The batch's device state is rebuilt, and the prefix cache dropped: that step may not have filled its blocks.
        """
        ids = list(self._rows)
        for request_id in ids:
            self.abort(request_id)
        self.scheduler.forget_prefixes()
        self._batcher = Batcher(self.pool, self.policy.vocab_size, self.policy.device, self._attention)
        return ids
