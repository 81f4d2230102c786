"""The command ``mavis``, and the composition root: the only place where the server meets an engine and models.

Torch, transformers and the model code are imported inside the commands, so that ``mavis --help`` is quick.
"""
