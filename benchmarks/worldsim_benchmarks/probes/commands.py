"""Films of the right pictures under the wrong commands: left for right, a full turn for a small one, back for ahead.

From one start the true world plays two commands. Each film shows one of the two and is said to have been commanded
either. It needs no labels and no edit, so every world can be asked whose picture the commands change.
"""

from __future__ import annotations

from worldsim_benchmarks.probes.detect import differs
from worldsim_benchmarks.probes.plan import LEAST
from worldsim_benchmarks.probes.quads import Film, Quad, Question
from worldsim_benchmarks.truth import Reference

ROOMS, TABLE, SCENE = "worldsim/DoomRooms-v0", "worldsim/Table-v0", "worldsim/Scene-v0"
STEPS = 3
"""How often each command is given."""


def instead(stage: Reference, map_seed: int, one: str, other: str) -> Quad | None:
    """One command or the other after the same four steps; None where either changes nothing, or both the same."""
    start = (one, other, "noop", "noop")
    takes = [stage.play((*start, *(name,) * STEPS), map_seed) for name in (one, other)]
    if any(take.length < len(take.names) for take in takes):
        return None
    quad = Quad((Film.of(takes[0]), Film.of(takes[1])), len(start), map_seed)
    moved = (differs(t.frame(len(start)), t.frame(len(t.names))).sum() >= LEAST for t in takes)
    return quad if quad.shows == quad.at and all(moved) else None


def _question(name: str, worlds: tuple[str, ...], what: str, one: str, other: str) -> Question:
    criterion = f"{what} surprises more than the same pictures under the command that made them"
    return Question(name, worlds, criterion, (one, other, "noop"), lambda stage, seed: instead(stage, seed, one, other))


COMMANDS = (
    _question("mirrored_turn", (ROOMS, SCENE), "a turn to the other side than commanded", "turn_left", "turn_right"),
    _question("wrong_gain", (ROOMS,), "a turn four times too large or too small", "turn_left", "turn_left_small"),
    _question("mirrored_walk", (ROOMS, TABLE), "a move the other way than commanded", "forward", "backward"),
)
