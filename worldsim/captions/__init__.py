"""Typed facts about a world, the grammar that words them, and the parser that reads them back."""
