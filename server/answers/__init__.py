"""From engine deltas to OpenAI's shapes. Streams and whole answers are made from the same pieces."""
