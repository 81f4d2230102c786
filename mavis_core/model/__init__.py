"""The policy and other models over paged KV."""
