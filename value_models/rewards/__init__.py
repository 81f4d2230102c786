"""What a response is worth: from texts to numbers. Only the classifier needs torch, only the judge needs httpx."""
