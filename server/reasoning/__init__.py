"""Reasoning of models that think before they answer: by which marks it is known, and taken out of the answer's text."""
