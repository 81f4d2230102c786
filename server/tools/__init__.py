"""Function tools: what must be called, how the model is told and held to it, and calls read back from its text.

The text form is Hermes': ``<tool_call>\n{"name": ..., "arguments": {...}}\n</tool_call>``. A grammar holds the
model to it, so calls always parse, and no setting is needed to turn them on.
"""
