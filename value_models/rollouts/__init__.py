"""Samples of a policy as trees: grown on the engine, kept in shards. No rewards, no targets."""
