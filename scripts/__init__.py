"""Scripts that make what the repository ships or reports; none is imported by the server."""
