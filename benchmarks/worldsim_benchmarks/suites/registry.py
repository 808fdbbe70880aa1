"""The probe suites by name."""

from __future__ import annotations

from worldsim_benchmarks.suites.consistency import Consistency
from worldsim_benchmarks.suites.interaction import INTERACTION
from worldsim_benchmarks.suites.memory import MEMORY
from worldsim_benchmarks.suites.permanence import PERMANENCE
from worldsim_benchmarks.suites.suite import Suite
from worldsim_benchmarks.suites.surprise import Surprise
from worldsim_benchmarks.suites.text import TEXT

_ALL: tuple[Suite, ...] = (Consistency(), PERMANENCE, MEMORY, INTERACTION, Surprise(), TEXT)
PROBES: dict[str, Suite] = {suite.name: suite for suite in _ALL}
"""Suites with a headline, in the order of the report."""


def suite_named(name: str) -> Suite:
    """The suite; ``ValueError`` names those that exist."""
    if name not in PROBES:
        raise ValueError(f"unknown suite {name!r}; suites with a headline are {', '.join(PROBES)}")
    return PROBES[name]
