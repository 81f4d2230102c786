"""A server under mixed traffic for long: what users send, what must hold meanwhile, what must be left at the end."""
