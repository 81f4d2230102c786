"""Function tools: what must be called, how the model is told and held to it, and calls read back from its text.

Models write calls in different forms (``server/tools/formats``). A grammar holds the model to its own, so calls always
parse, and no setting is needed to turn them on.
"""
