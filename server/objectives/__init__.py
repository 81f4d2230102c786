"""Objectives in words: which the server knows, what a request adds, where in a conversation an instruction goes."""
