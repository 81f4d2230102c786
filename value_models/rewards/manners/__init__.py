"""Rewards for manners of speaking: formulas over the words of a response, each with what it does not see."""
