"""What a response is worth: plain callables from texts to numbers, without torch and without a model's tokens."""
