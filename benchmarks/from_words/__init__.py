"""Values that were taught by sentences, served, beside the sentences themselves: steering, cost, and how they were made."""
