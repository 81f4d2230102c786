"""Values that were taught by sentences, served, beside the sentences: steering, cost, and what they took to make."""
