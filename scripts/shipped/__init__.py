"""How the model that ships was made: corpus, tokenizer, policy, classifier, card."""
