"""Recordings: episodes in memory, their native format on disk, and live generation from the true worlds."""
