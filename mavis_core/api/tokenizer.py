"""What the engine and the server need of a tokenizer; transformers' fast tokenizers have all of it.

Torch-free. Chat templates belong to the tokenizer (``apply_chat_template``); text is made of the backend's tokens
(``token_bytes.py``, ``running_text.py``), so a tokenizer without one is refused while loading.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Tokenizer(Protocol):
    """The part of ``transformers.PreTrainedTokenizerFast`` in use here."""

    chat_template: Any
    backend_tokenizer: Any  # tokenizers.Tokenizer

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]: ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = False) -> str: ...

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]: ...

    def apply_chat_template(self, conversation: list[dict[str, Any]], **kwargs: Any) -> Any: ...

    def __len__(self) -> int: ...
