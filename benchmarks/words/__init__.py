"""Objectives in words on a real model: what each does at each weight, beside the model that is merely told."""
