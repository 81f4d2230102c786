"""The steerable inference engine: schedule → forward → score → tilt → sample → emit.

Nothing here knows HTTP or how values are stored. The folders ``api``, ``text``, ``grammar``, ``schedule``, ``search``
and ``process`` are free of torch, so that a process that only moves messages can import them; ``model``, ``sample``,
``values`` and what is at the root need torch and transformers and nothing more.
"""
