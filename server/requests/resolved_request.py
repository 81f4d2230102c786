"""The first half of every request that generates: it is read, checked and resolved, except for its prompt.

Tools, structure, sampling, model, weights and guidance are resolved here and nowhere else, in this order, so that all
endpoints refuse the same things with the same words.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from starlette.requests import Request as HttpRequest

from mavis_core.api.errors import InvalidRequestError, QueueFullError
from mavis_core.api.messages import EngineInfo, Request
from mavis_core.api.prompted import PromptedObjective
from mavis_core.api.sampling_params import SamplingParams
from server.answers.context import AnswerContext
from server.http.left_out import left_out_of
from server.objectives.instruction import in_front, instructed
from server.protocol.chat_messages import ChatMessage
from server.protocol.steered_request import SteeredRequest
from server.requests.read_request import read_request
from server.service import Service
from server.steering import Steering, resolve_steering
from server.telemetry.observation import count_request
from server.text.rendering import Rendering
from server.tools.grammar import constraint_of
from server.tools.reader import calls_begin
from server.tools.use import Constraint, ToolUse

Body = TypeVar("Body", bound=SteeredRequest)


@dataclass(frozen=True, slots=True)
class ResolvedRequest(Generic[Body]):
    id: str
    http: HttpRequest
    service: Service
    info: EngineInfo
    body: Body
    tools: ToolUse
    constraint: Constraint | None
    sampling: SamplingParams
    steering: Steering

    def reasoning(self, prompt: Sequence[int], sampling: SamplingParams, continued: str = "") -> SamplingParams:
        """``sampling`` of a chat's answer, which knows its reasoning and shows what marks that and calls.

        Args:
            continued: what there is of the answer already.
        """
        prompts = self.service.prompts
        told = replace(sampling, reasoning=prompts.reasoning(prompt, continued))
        return prompts.dialect.shown(told, self.tools)

    def answer_context(
        self, prompts: Sequence[tuple[int, ...]], sampling: SamplingParams | None = None
    ) -> AnswerContext:
        """What an answer to these prompts needs; also counts the request, which has passed the server's checks."""
        count_request(self.service.metrics, self.steering)
        return AnswerContext(
            model=self.steering.model,
            fingerprint=self.service.fingerprint(self.info),
            weights=self.steering.weights,
            sampling=sampling or self.sampling,
            wants_report=self.steering.guidance.report,
            bounded=self.steering.bounded,
            left_out=left_out_of(self.http).names if self.body.wants_left_out else None,
            prompts=tuple(prompts),
            token_text=self.service.token_text,
            dialect=self.service.prompts.dialect,
            include_usage=self.body.include_usage,
            continuous_usage=self.body.continuous_usage,
            obfuscated=self.body.obfuscated,
        )

    def request(
        self,
        prompt: tuple[int, ...],
        sampling: SamplingParams | None = None,
        prompted: tuple[PromptedObjective, ...] = (),
    ) -> Request:
        """Of one prompt, with no more tokens than its objectives in words leave, whose prompts are longer than it."""
        sampling = sampling or self.sampling
        guidance, salt = self.steering.guidance, self.body.cache_salt
        made = Request(uuid.uuid4().hex, prompt, sampling, guidance, salt, group=self.id, prompted=prompted)
        if sampling.max_tokens is None or len(made.prompts) == 1:
            return made
        left = self.info.room.answer(list(map(len, made.prompts)))
        left = max(left, sampling.min_tokens, 1)  # what does not fit then is refused by the engine
        return replace(made, sampling=replace(sampling, max_tokens=min(sampling.max_tokens, left)))

    async def prompted(
        self,
        messages: Sequence[ChatMessage],
        rendering: Rendering,
        prompt: tuple[int, ...],
        instructions: Mapping[str, str],
    ) -> tuple[PromptedObjective, ...]:
        """Objectives in words, each with the conversation as it is with its instruction.

        Args:
            prompt: the conversation as it is.
            instructions: of those that steer, by name.

        Raises:
            InvalidRequestError, TextsWaitingError: as for any prompt.
        """
        place, found = self.service.place, []
        for name, instruction in instructions.items():
            assert place is not None, "without a place for instructions there are no objectives in words"
            told = instructed(messages, instruction, place)
            most = self.info.max_model_len - 1
            read = prompt if told is messages else await self.service.prompts.chat(told, rendering, most)
            found.append(PromptedObjective(name, read))
        return tuple(found)

    async def prompted_text(self, prompt: tuple[int, ...]) -> tuple[PromptedObjective, ...]:
        """Likewise in front of a text, but behind the special tokens that the tokenizer begins texts with.

        Raises:
            TextsWaitingError: as for any prompt.
        """
        prompts, found = self.service.prompts, []
        if not self.steering.instructions:
            return ()
        begin = tuple(await prompts.tokens("", special=True))
        begin = begin if prompt[: len(begin)] == begin else ()
        for name, instruction in self.steering.instructions.items():
            told = await prompts.tokens(in_front(instruction), special=False)
            found.append(PromptedObjective(name, (*begin, *told, *prompt[len(begin) :])))
        return tuple(found)

    def check_room(self, requests: Sequence[Request]) -> None:
        """Check that several prompts fit together: a stream could not take back its 200 for the last of them.

        Raises:
            InvalidRequestError: they have more choices than this server ever takes.
            QueueFullError: they have more than it takes now.
        """
        limit, taken = self.info.max_num_seqs + self.service.settings.engine.max_queue, self.service.engine.in_flight
        places = sum(request.places for request in requests)
        if len(requests) > 1 and places > limit:
            each = requests[0].places
            raise InvalidRequestError(
                f"prompt: {len(requests)} prompts of {each} {'row' if each == 1 else 'rows'} take {places} places: "
                f"this server has {limit}; send fewer at a time",
                "prompt",
            )
        if len(requests) > 1 and taken + places > limit:
            raise QueueFullError(taken, limit)


async def resolve_request(http: HttpRequest, kind: type[Body]) -> ResolvedRequest[Body]:
    """Read and resolve a request; raises MavisError where anything but its prompt is wrong."""
    service, info, body = await read_request(http, kind)
    tools = body.tool_use()
    dialect = service.prompts.dialect
    constraint = constraint_of(tools, body.constraint(), dialect.calls, dialect.special)
    sampling = body.sampling(info.sampling_defaults)
    if constraint is not None:
        for place in constraint.relaxed:
            left_out_of(http).add(place)
        sampling = replace(sampling, structure=constraint.structure, calls=calls_begin(tools, dialect.calls))
    steering = await resolve_steering(http, service, body, info)
    return ResolvedRequest(uuid.uuid4().hex, http, service, info, body, tools, constraint, sampling, steering)
