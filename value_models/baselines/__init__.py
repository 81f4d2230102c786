"""Baselines that train policies: one per weight vector by RL (MORLHF), their weights averaged (RSoup)."""
