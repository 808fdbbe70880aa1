"""Benchmarks of world simulators: any Gymnasium environment against the true world that it imitates.

A candidate is seen through ``gym.make_vec``, ``reset(options=...)``, ``step`` and ``info["frames"]`` alone,
so this package imports nothing of ``worldsim``: it measures environments of others in the same way as ours.
What a candidate must and may offer stands in ``docs/benchmarks.md``.
"""

SCHEMA_VERSION = 1
"""Version of the rows and summaries that are written; a folder with a newer one is refused."""
