"""Values on disk, their kinds, rewards and training: everything that knows what an objective means."""
