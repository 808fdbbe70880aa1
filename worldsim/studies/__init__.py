"""Controlled comparisons: small models that differ in one thing, trained equally long, scored on the same episodes."""
