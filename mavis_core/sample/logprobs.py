"""Log-probabilities that a request asked for; computed only in steps where some row did."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mavis_core.api.messages import TokenLogprobs
from mavis_core.sample.row_tensors import RowTensors
from mavis_core.sample.sampler import Drawn, Tilted
from mavis_core.schedule.row import Row
from mavis_core.schedule.row_fault import alone


def collect_logprobs(
    raw: Tensor, surviving: Tensor, tilted: Tilted | None, drawn: Drawn, rows: RowTensors
) -> list[TokenLogprobs | None]:
    """Per row, or None for a row that did not ask.

    Unguided rows, and tokens that are not steered: raw log-softmax of the model's logits at T = 1, before any edit, as
    vLLM. Guided rows: log p, over the candidates.

    Args:
        raw: (B, V) float32, the model's logits.
        surviving: (B, V) float32, what unguided rows were drawn from: edited, scaled, -inf where filtered.
    """
    asked = [row.request.sampling.logprobs for row in rows.rows]
    found: list[TokenLogprobs | None] = [None] * len(asked)
    most = max((n for n in asked if n is not None), default=0)
    guided = rows.guided
    if tilted is not None and any(n is not None for n in asked[:guided]):
        width = min(max(most, 1), tilted.logprobs.shape[1])
        top, index = tilted.logprobs.topk(width, dim=1)
        ids = tilted.candidates.ids.gather(1, index)
        assert drawn.chosen is not None
        chosen = tilted.logprobs.gather(1, drawn.chosen[:, None])[:, 0]
        _fill(found, rows.rows, range(guided), drawn.tokens[:guided], chosen, chosen, ids, top)
    plain = rows.plain
    if any(asked[i] is not None for i in plain):
        logprobs, tokens, surviving = raw[plain].log_softmax(dim=1), drawn.tokens[plain], surviving[plain]
        top, ids = logprobs.topk(min(max(most, 1), raw.shape[1]), dim=1)
        own, processed = (scores.gather(1, tokens[:, None])[:, 0] for scores in (logprobs, surviving))
        processed = processed - surviving.logsumexp(dim=1)
        _fill(found, rows.rows, plain, tokens, own, processed, ids, top)
    return found


def _fill(
    found: list[TokenLogprobs | None],
    rows: Sequence[Row],
    places: Sequence[int],
    tokens: Tensor,
    chosen: Tensor,
    processed: Tensor,
    ids: Tensor,
    top: Tensor,
) -> None:
    columns = (each.tolist() for each in (tokens, chosen, processed, ids, top))
    for i, token, logprob, drawn, names, logprobs in zip(places, *columns, strict=True):
        row = rows[i]
        if (count := row.request.sampling.logprobs) is not None:
            with alone(row, "in its log-probabilities"):
                best = [(n, p) for n, p in zip(names[:count], logprobs[:count], strict=True) if p > float("-inf")]
                found[i] = TokenLogprobs(token, logprob, tuple(best), drawn)
