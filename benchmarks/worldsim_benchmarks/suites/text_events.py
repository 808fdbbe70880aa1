"""Events by text: does what is said happen, more often than when something else is said, or nothing?

The candidate is given a true context and then three times the same actions, with the same noise: the event's text comes
right before the step where it would truly happen, or another event's text, or none. A candidate that is blind to the
text makes the same pictures three times and fails by construction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from worldsim_benchmarks.candidates import Context, Told
from worldsim_benchmarks.continuity import Sequel
from worldsim_benchmarks.guard import Guarded
from worldsim_benchmarks.pictures import Clip
from worldsim_benchmarks.probes.cues import Cue, Event, observations
from worldsim_benchmarks.suites.rivals import Rivals
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.suites.suite import Result
from worldsim_benchmarks.suites.twins import AT_ONCE, first_found, other_of, still_of
from worldsim_benchmarks.tasks import Episode, Outcome
from worldsim_benchmarks.truth import Reference

ARMS = ("prompted", "swapped", "empty")
Arms = Mapping[str, np.ndarray]
"""Observations uint8 ``(L + 1, H, W, 3)`` of each arm, the last of the context first."""


def cued(event: Event, stage: Reference, map_seed: int) -> Cue:
    """The event's cue on the first map of the episode's block that has one."""
    return first_found(lambda seed: event.find(stage, seed), map_seed, event.world, event.name)


def judged(name: str, cue: Cue, arms: Arms | str, continued: bool = True) -> Outcome:
    """The outcome of three rollouts, or of the reason why there are none."""
    if isinstance(arms, str):
        return Outcome(name, False, False, False, failed=arms)
    fired = {arm: cue.detector(frames, cue.at) for arm, frames in arms.items()}
    correct = fired["prompted"] and not fired["swapped"] and not fired["empty"]
    return Outcome(name, True, continued, correct, {"map": cue.quiet.acted.map_seed, "text": cue.text, **fired})


def run(
    events: Sequence[Event], session: Session, guards: Mapping[str, Guarded], missing: Sequence[Episode]
) -> Iterator[Result]:
    """Runs the episodes of these events, each as soon as its batch is whole."""
    todo = {e.name: [m for m in missing if m.task == e.name] for e in events}
    if not any(todo.values()):
        return
    with session.reference(depth=False, labels=True) as stage, Rivals(session) as rivals:
        for index, event in enumerate(events):
            for guard in guards.values():
                guard.anew()
            for at in range(0, len(todo[event.name]), AT_ONCE):
                batch = todo[event.name][at : at + AT_ONCE]
                cues = [cued(event, stage, e.map_seed) for e in batch]
                seeds = [session.seed_of(10, index, e.map_seed, e.sample) for e in batch]
                made = {name: played(guard, cues, seeds) for name, guard in guards.items()}
                for i, (episode, cue) in enumerate(zip(batch, cues)):
                    yield _result(session, episode, cue, {n: m[i] for n, m in made.items()}, guards, rivals)


def played(guard: Guarded, cues: Sequence[Cue], seeds: Sequence[int]) -> list[dict[str, np.ndarray] | str]:
    """The three rollouts of each cue, as blocks ``(L, k, H, W, 3)``, or why there are none. Cues of one event share the
    step at which the words come, or are run in groups that do."""
    out: list[dict[str, np.ndarray] | str] = [""] * len(cues)
    for at in sorted({c.at for c in cues}):
        rows = [i for i, c in enumerate(cues) if c.at == at]
        plans = [cues[i].quiet for i in rows]
        told = (Told(tuple(cues[i].text for i in rows), at), Told(tuple(cues[i].swapped for i in rows), at), None)
        contexts = [Context.of(p.acted) for p in plans]
        actions = [p.acted.actions for p in plans]
        arms = [guard.go_on(contexts, actions, [seeds[i] for i in rows], text) for text in told]
        for k, i in enumerate(rows):
            reason = next((why[k] for _, why in arms if why[k]), "")
            out[i] = reason or {arm: made.blocks[k] for arm, (made, _) in zip(ARMS, arms)}
    return out


def _result(
    session: Session,
    episode: Episode,
    cue: Cue,
    own: Mapping[str, dict[str, np.ndarray] | str],
    guards: Mapping[str, Guarded],
    rivals: Rivals,
) -> Result:
    quiet, controlled = cue.quiet, session.controlled(episode.map_seed)
    first = quiet.acted.blocks[quiet.prefix]
    others = () if cue.alike else rivals.of(quiet.acted.names[: quiet.prefix + 1], quiet.prefix)
    sequel = None if cue.alike else Sequel(first, [r.block for r in others], session.bottom)
    outcomes = []
    for name, arms in own.items():
        if isinstance(arms, str):
            outcomes.append(judged(name, cue, arms))
            continue
        on = sequel is None or sequel.continued_by(arms["empty"][0])
        outcomes.append(judged(name, cue, {arm: _seen(cue, made) for arm, made in arms.items()}, on))
    beside = {"other": other_of(quiet, rivals, episode.map_seed)} if controlled else {}
    for name, made in {**still_of(quiet), **beside}.items():
        without = rivals.place(episode.map_seed) if name == "other" else None
        on = sequel is None or sequel.continued_by(made.acted[0], without)
        outcomes.append(judged(name, cue, dict.fromkeys(ARMS, _seen(cue, made.acted)), on))
    truth = {"prompted": cue.happened, "swapped": cue.calm if cue.other is None else cue.other, "empty": cue.calm}
    outcomes.append(judged("true", cue, truth))
    coded = _coded(guards, truth) if controlled else None
    if coded is not None:
        outcomes.append(judged("codec", cue, coded))
    return Result(episode, tuple(outcomes), _clip(episode, cue, next(iter(own.values()), "")))


def _seen(cue: Cue, blocks: np.ndarray) -> np.ndarray:
    """The observations of a rollout behind the last one of the context."""
    return np.concatenate([observations(cue.quiet.acted, cue.quiet.prefix, 0), blocks[:, -1]])


def _coded(guards: Mapping[str, Guarded], truth: Arms) -> dict[str, np.ndarray] | None:
    """The true observations as single frames through the first candidate's codec, where it offers one."""
    if not guards:
        return None
    coded = {arm: next(iter(guards.values())).reconstruct(frames[:, None]) for arm, frames in truth.items()}
    return None if any(c is None for c in coded.values()) else {k: c[:, 0] for k, c in coded.items() if c is not None}


def _clip(episode: Episode, cue: Cue, arms: dict[str, np.ndarray] | str) -> Clip | None:
    """Truth with and without the event, beside the candidate told and not told, one above the other."""
    if isinstance(arms, str):
        return None
    truth = np.concatenate([cue.happened[1:], cue.calm[1:]], 1)
    made = np.concatenate([arms["prompted"][:, -1], arms["empty"][:, -1]], 1)
    return Clip(f"{episode.task}: {cue.text}", True, truth, made, np.full(len(truth), np.nan))
