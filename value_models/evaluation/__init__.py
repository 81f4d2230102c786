"""How well values steer: sampled answers of several arms on the same prompts, and what follows from them."""
