"""A thing that goes out of sight behind something and comes out on the other side, before a camera that stands still.

When, and how fast? Two looks at places some pixels apart say both: its pixels must be at the true places, and a
step before the first, or two where it is slow, not there yet. Where it lay it must be gone, and on the side
where it went in there must be none. The gate is that it was hidden: a picture in which nothing is hidden foresees
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from worldsim_benchmarks.probes.detect import differs, grown, without
from worldsim_benchmarks.probes.plan import LEAST, Check, Plan
from worldsim_benchmarks.probes.presence import Copy, moved_by, pixels, seen_again, whole_in_view
from worldsim_benchmarks.truth import Rollout

OUT = 0.7
"""Share of its pixels from which on a thing counts as come out; what pushed it may cover some."""
SHIFTS = tuple(
    moved_by(dx, dy)
    for dx, dy in sorted(
        ((dx, dy) for dx in range(-24, 25, 6) for dy in range(-24, 25, 6)), key=lambda m: (m[0] ** 2 + m[1] ** 2, m)
    )
)
"""Places for the false alarm, nearest first."""


@dataclass(frozen=True)
class Passage:
    """Steps after the context at which a thing is ``hidden``, and at which it is ``out`` after all of them."""

    hidden: tuple[int, ...]
    out: tuple[int, ...]


def passage(take: Rollout, number: int, covered: float = 0.0) -> Passage | None:
    """How a thing that is whole in view at the end of the context passes out of sight, which it is where at most
    ``covered`` of its pixels are seen, and back; None where it does not."""
    at = take.prefix
    shown = [int(pixels(take, s, number).sum()) for s in range(at, len(take.names) + 1)]
    hidden = tuple(s for s, count in enumerate(shown) if count <= covered * shown[0])
    if not hidden or not whole_in_view(take.labels(at), number):
        return None
    out = tuple(s for s in range(hidden[-1] + 1, len(shown)) if shown[s] >= OUT * shown[0])
    return Passage(hidden, out) if out else None


def gone(take: Rollout, step: int, number: int) -> Check:
    """``step`` steps after the context the thing is not seen where it lay at its end."""
    at = take.prefix
    done, undone = take.frame(at + step), take.frame(at)
    return Check(step, pixels(take, at, number) & differs(done, undone), done, undone)


def came_out(
    take: Rollout, number: int, passed: Passage, second: int, copies: Sequence[Copy], margin: int = 2
) -> Plan | None:
    """The plan with looks at the first step out and at the ``second``; of the places in ``copies`` the first that is
    free must not show the thing too. Before the first the thing must not be seen yet where, ``margin`` pixels around it
    left out, it is not. None where a look would tell too little, or the truth itself does not pass."""
    at, first = take.prefix, passed.out[0]
    looks = [_there(take, step, number) for step in (first, second)]
    before = [
        replace(looks[0], step=s, mask=looks[0].mask & ~grown(pixels(take, at + s, number), margin), shown=False)
        for s in range(first - 1, max(first - 3, 0), -1)
    ]
    early = next((look for look in before if look.mask.sum() >= LEAST), None)
    if early is None:
        return None
    again = seen_again(take, second, [number], copies)
    gate, left = gone(take, passed.hidden[-1], number), gone(take, second, number)
    checks = (*looks, early, left, *again)
    if min(int(c.mask.sum()) for c in (*looks, gate, left)) < LEAST or all(c.shown for c in again):
        return None
    if not all(c.holds(take.frame(at + c.step), True) for c in checks):  # another thing gave way, where it comes out
        return None
    return Plan(take, take, (gate,), checks, tuple(looks), beside=False)


def _there(take: Rollout, step: int, number: int) -> Check:
    """The thing is where the truth has it ``step`` steps after the context."""
    truth, mask = take.frame(take.prefix + step), pixels(take, take.prefix + step, number)
    empty = without(truth, mask)
    return Check(step, mask & differs(truth, empty), truth, empty)
