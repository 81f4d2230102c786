"""What weights cost on a multiple-choice task: accuracy against KL per token, over HTTP as lm-eval asks."""
