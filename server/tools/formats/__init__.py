"""The forms in which models write calls: how each is known, written, held to a grammar and read back. One file each."""
