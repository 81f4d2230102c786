"""Compiling a model's layers while it is served: tokens come from the plain ones until the compiled ones are there."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from pathlib import Path

import torch
import torch._inductor.config as inductor
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from mavis_core.api.errors import LoadError
from mavis_core.model.compiled_layers import compile_layers
from mavis_core.model.packed_linear import HalfLinear
from mavis_core.model.paged_model import PagedModel
from mavis_core.model.threads import is_large

CACHE = "TORCHINDUCTOR_CACHE_DIR"

log = logging.getLogger(__name__)


def worthwhile(model: PagedModel) -> bool:
    """Whether compiled layers are faster: of a large model on a CPU whose products read 16 bits.

    In float32 a step is in its products, and the operator around each costs more than compiling saves.
    """
    parameter = next(model.base.parameters())
    narrow = parameter.dtype == torch.bfloat16 or any(isinstance(each, HalfLinear) for each in model.base.modules())
    return parameter.device.type == "cpu" and narrow and is_large(model.base)


def compile_beside(model: PagedModel) -> threading.Thread:
    """Compile the layers of a model on a thread of its own, with as many threads in an operation as there are now.

    A model that cannot be compiled, or a machine without a compiler, goes on as before and a warning says why.
    """
    threads = torch.get_num_threads()
    found = threading.Thread(target=_compile, args=(model, threads), name="compile", daemon=True)
    found.start()
    return found


def _compile(model: PagedModel, threads: int) -> None:
    began = time.monotonic()
    torch.set_num_threads(threads)  # a thread's own, and what loops are compiled for
    inductor.compile_threads = 1  # processes for more would each take the memory of a torch
    if os.environ.get(CACHE) in (None, os.path.abspath(default_cache_dir())):  # what torch itself has set
        os.environ[CACHE] = str(_cache())
    try:
        compile_layers(model)
    except LoadError as error:
        log.warning("%s; it is served as it is", error)
    else:
        log.info("%s: layers compiled in %.0f s", model.name, time.monotonic() - began)


def _cache() -> Path:
    """Where compiled code lies between starts: what is loaded from there runs, so nobody else may write there.

    torch's own default is a folder that anybody can make first, below the one for temporary files.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mavis" / "compiled"
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(home, os.W_OK):
            return home
    except OSError as error:
        log.info("no cache of compiled code between starts: %s", error)
    return Path(tempfile.mkdtemp(prefix="mavis-compiled-"))
