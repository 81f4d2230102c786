"""The wire: what a request may say and what an answer looks like, as pydantic models and nothing else."""
