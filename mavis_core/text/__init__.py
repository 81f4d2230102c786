"""Tokens to text: bytes of tokens, text that is final, stop strings. Free of torch."""
