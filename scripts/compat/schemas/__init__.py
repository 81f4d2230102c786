"""Tools as real programs send them, and whether any of them costs a request."""
