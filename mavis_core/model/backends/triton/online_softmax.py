"""Pieces that the kernels share: where a token lies in a pool, the cap on scores, a softmax that is never held whole.

Scores are kept in base 2, ``s * log2(e)``, because a GPU computes powers of 2. A running softmax of queries q is
the largest score so far m (Q,), the sum of 2^(s - m) l (Q,), and the values weighted so, a (Q, D); a / l is the
attention over the tokens that were folded in.
"""

from __future__ import annotations

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def entries(block_table, position, there, BLOCK: tl.constexpr, TOKEN: tl.constexpr):  # type: ignore[no-untyped-def]
    """Where in a layer the tokens at ``position`` (T,) of a row begin, int64; ``TOKEN`` numbers each.

    ``block_table`` points at the row's own line; of tokens that are not ``there`` (T,) no block is looked up.
    """
    block = tl.load(block_table + position // BLOCK, mask=there, other=0).to(tl.int64)
    return (block * BLOCK + position % BLOCK) * TOKEN


@triton.jit
def base2(products, scale, SOFTCAP: tl.constexpr):  # type: ignore[no-untyped-def]
    """Scores in base 2 of products of queries and keys; ``SOFTCAP`` c is c * tanh(s / c), and 0 none.

    tanh(x) is written as 1 - 2 / (1 + e^2x), whose ends are right where e^2x overflows.
    """
    scores = products * scale
    if SOFTCAP > 0:
        scores = SOFTCAP - 2 * SOFTCAP / (1 + tl.exp(scores * (2 / SOFTCAP)))
    return scores * LOG2E


@triton.jit
def fold(scores, values, largest, total, weighted):  # type: ignore[no-untyped-def]
    """A running softmax with more tokens: scores (Q, T) in base 2, -inf where not seen, and values (T, D).

    Every query must have seen a token by the end of its first call, or -inf - -inf makes it NaN.
    """
    raised = tl.maximum(largest, tl.max(scores, 1))
    shares = tl.exp2(scores - raised[:, None])
    kept = tl.exp2(largest - raised)
    total = total * kept + tl.sum(shares, 1)
    weighted = tl.dot(shares.to(values.dtype), values, weighted * kept[:, None], input_precision="ieee")
    return raised, total, weighted
