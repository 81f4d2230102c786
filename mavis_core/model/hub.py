"""Whether the hub answers. Its library tries for minutes to reach one that does not; we ask once, for seconds."""

from __future__ import annotations

from queue import Empty, Queue
from threading import Thread

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from mavis_core.api.errors import LoadError

PATIENCE_SECONDS = 5.0


def silence(repository: str, file: str) -> str | None:
    """Why the hub does not answer, for people; None where it does, whatever it says about ``file``.

    Raises:
        LoadError: ``repository`` cannot be the name of one.
    """
    try:
        url = hf_hub_url(repository, file)
    except HFValidationError as error:
        raise LoadError(f"{repository}: {error}") from error
    said: Queue[str | None] = Queue()
    # On a thread, as no timeout of an HTTP library covers looking up the hub's address.
    Thread(target=lambda: said.put(_ask(url)), daemon=True).start()
    try:
        reason = said.get(timeout=PATIENCE_SECONDS)
    except Empty:
        reason = f"nothing came within {PATIENCE_SECONDS:g} seconds"
    return reason and f"{constants.ENDPOINT} does not answer: {reason}"


def _ask(url: str) -> str | None:
    try:
        get_hf_file_metadata(url, timeout=PATIENCE_SECONDS)
    except HfHubHTTPError:
        return None
    except Exception as error:  # which HTTP library raises it is a matter of huggingface_hub's version
        return str(error).partition("\n")[0] or type(error).__name__
    return None
