"""From logits to one token per row, and what that cost."""
