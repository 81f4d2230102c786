"""Malformed and hostile requests against a real server: what they are, how they are sent, what must hold afterwards."""
