"""What iterating and conditioning are worth, where the optimum is known: token MDPs solved by backward induction."""
