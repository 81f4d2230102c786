"""Conversations of several turns through other projects' clients, each in a throw-away environment of its own."""
