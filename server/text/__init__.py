"""Messages and text to tokens, tokens to text and bytes, beside the event loop."""
