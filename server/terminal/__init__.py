"""``mavis chat``: a conversation in the terminal, against a server or an engine in the same process."""
