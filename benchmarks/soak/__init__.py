"""A server under mixed traffic for long: what users send, what must hold all the time, and what must be left at the end."""
