"""What benchmarks that compare have in common: prompts, arms in turn, the file that a run leaves, pictures of it."""
