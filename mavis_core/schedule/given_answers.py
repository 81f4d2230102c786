"""What must hold of answers that a request gives to have them scored (``Request.answers``). Torch-free."""

from __future__ import annotations

from mavis_core.api.bounds import check_token_ids
from mavis_core.api.errors import InvalidRequestError
from mavis_core.api.messages import Request
from mavis_core.api.room import Room


def check_answers(request: Request, room: Room, vocab_size: int) -> None:
    """That there is one for each choice, that all fit, and that nothing else says how choices go on.

    Raises:
        InvalidRequestError: naming the answer, or the field that does not go with answers.
    """
    answers, sampling = request.answers, request.sampling
    if not answers:
        return
    others = {"output_token_ids": request.output_token_ids, "structure": sampling.structure, "ranked": sampling.ranked}
    if unfit := next((name for name, other in others.items() if other), None):
        raise InvalidRequestError(f"{unfit}: cannot be combined with answers, which are not drawn", unfit)
    if len(answers) != sampling.n:
        raise InvalidRequestError(f"answers: {len(answers)} are given: must be as many as n={sampling.n}", "answers")
    lengths = list(map(len, request.prompts))
    fits = room.answer(lengths)
    for i, answer in enumerate(answers):
        param = f"answers[{i}]"
        if not answer:
            raise InvalidRequestError(f"{param} has no tokens: must have at least one", param)
        if len(answer) > fits:
            raise InvalidRequestError(
                f"{param} has {len(answer)} tokens: at most {max(0, fits)} fit behind a prompt of {max(lengths)}",
                param,
                "context_length_exceeded",
            )
        check_token_ids(param, answer, vocab_size)
