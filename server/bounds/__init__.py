"""What no request of a key can leave: how far its weights, its strength and its KL may go."""
