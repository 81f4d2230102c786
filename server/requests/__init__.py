"""A request on its way: read and resolved, run, scored, steered anew while it is answered."""
