"""The steerable inference engine: schedule → forward → score → tilt → sample → emit.

Nothing here knows HTTP or how values are stored. The files ``errors``, ``sampling_params``, ``guidance``,
``messages``, ``config`` and ``client`` are free of torch, so that a process that only moves messages can
import them; everything else needs torch and transformers and nothing more.
"""
