"""OpenAI's and Anthropic's endpoints that this server does not have, and why.

Nothing that was generated is kept here, so there is nothing to list, retrieve, change or delete. The status is that of
any such path: 405 if it exists for other methods, else 404.
"""

from __future__ import annotations

import re

NOT_STORED = "nothing that was generated is stored"
TEXT_ONLY = "the model reads and writes text only"
ANY = "GET|POST|DELETE|PUT|PATCH"
NOT_OFFERED = [
    ("GET", "/v1/chat/completions", NOT_STORED),
    ("GET|POST|DELETE", "/v1/chat/completions/[^/]+", NOT_STORED),
    ("GET", "/v1/chat/completions/[^/]+/messages", NOT_STORED),
    ("POST", "/v1/responses/compact", "that takes a model which was trained for it"),
    ("POST", "/v1/responses/input_tokens", "POST /tokenize counts tokens"),
    ("GET|DELETE", "/v1/responses/[^/]+", NOT_STORED),
    ("GET", "/v1/responses/[^/]+/input_items", NOT_STORED),
    ("POST", "/v1/responses/[^/]+/cancel", "no response runs in the background; who leaves ends theirs"),
    (ANY, "/v1/messages/batches(/.*)?", "no batches are stored; send the requests themselves, they share the batch"),
    ("DELETE", "/v1/models/.+", "what is served is not a client's to delete"),
    (ANY, "/v1/embeddings", "the model writes text; it makes no embeddings"),
    (ANY, "/v1/moderations", "the model writes text; it judges none"),
    (ANY, "/v1/(files|uploads|vector_stores|containers)(/.*)?", "no files are stored"),
    (ANY, "/v1/batches(/.*)?", "no batches are stored; send the requests themselves, they share the batch"),
    (ANY, "/v1/(images|audio|videos|realtime)(/.*)?", TEXT_ONLY),
    (ANY, "/v1/fine_tuning(/.*)?", "values are trained with 'mavis fit', not over HTTP"),
    (ANY, "/v1/(assistants|threads|conversations|evals|chatkit)(/.*)?", NOT_STORED),
]


def why_not_offered(method: str, path: str) -> str | None:
    """Why an endpoint of theirs is missing here; None if they have none either, or if we have it."""
    for methods, pattern, why in NOT_OFFERED:
        if method in methods.split("|") and re.fullmatch(pattern, path):
            return why
    return None
