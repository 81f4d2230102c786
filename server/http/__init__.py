"""What stands around all routes: keys, origins, limits, ids, bodies, streams."""
