"""``/v1/messages``: what Anthropic's Messages API asks and answers."""
