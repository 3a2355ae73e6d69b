"""Tiny seeded models of every causal-LM type of transformers, and what is true of each."""
