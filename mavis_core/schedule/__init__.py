"""Requests to rows, and who runs when in which blocks. Free of torch."""
