"""Kinds of value, a module each."""
