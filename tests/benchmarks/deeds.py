"""What every deed must do, whatever its world: be right when done, wrong when not, frozen, grey or done regardless."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from worldsim_benchmarks.candidates import Context, ReplayCandidate
from worldsim_benchmarks.probes.judge import Made, judged
from worldsim_benchmarks.probes.plan import Plan

NOISE = tuple(np.random.default_rng(0).integers(0, 256, (3, 4, 64, 64, 3), dtype=np.uint8))
"""Blocks that continue nothing, as rivals."""


def check_deed(plan: Plan) -> None:
    """The truth scores 1, a still picture and a grey one 0; what ignores actions is wrong in one of deed and twin."""
    truth = Made.of(plan.acted, plan.twin)
    assert judged("true", plan, truth, NOISE, 0).score == 1.0
    still = np.broadcast_to(plan.acted.frame(plan.prefix), truth.acted.shape)
    assert judged("frozen", plan, Made(still, still), NOISE, 0).score == 0.0
    grey = np.full_like(truth.acted, 128)
    assert judged("grey", plan, Made(grey, grey), NOISE, 0).score == 0.0
    if plan.beside:
        blind = replace(truth, twin=truth.acted)
        assert not judged("does it always", plan, blind, NOISE, 0).correct
        never = judged("never does it", plan, replace(truth, acted=truth.twin), NOISE, 0)
        assert (never.moved, never.correct) == (False, False)


def continued(world: str, name: str, plan: Plan, seed: int = 0) -> Made:
    """What a true world or a mutant of it makes of a plan, replayed from its context."""
    candidate = ReplayCandidate(world, mutant=None if name == "true" else name)
    context = Context.of(plan.acted)
    made = [candidate.go_on([context], [take.actions], [seed]).blocks[0] for take in (plan.acted, plan.twin)]
    candidate.close()
    return Made(*made)
