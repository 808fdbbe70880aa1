"""Which suites can an environment be asked, and why not the others? Found out by trying, before anything long runs.

Spaces, action names and the reset from given frames are looked at in the candidate; truth buffers and reset options in
the true world. A suite can be run where at least one of its tasks can.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import gymnasium as gym
import numpy as np

from worldsim_benchmarks.candidates import Context, EnvCandidate
from worldsim_benchmarks.offers import text_lacks
from worldsim_benchmarks.presets import PRESETS
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.suites.suite import Suite
from worldsim_benchmarks.tasks import Task

FRAMES = 4
"""Video frames that a step is told by, in true worlds and so in candidates."""
UNOPENED = (ImportError, TypeError, ValueError, gym.error.Error)
"""What a true world raises that cannot be opened: without its engine an ``ImportError``."""


def missing_for(suites: Sequence[Suite], session: Session) -> dict[str, dict[str, list[str]]]:
    """suite -> task -> what is missing, for the session's first candidate; an empty list: the task can be run."""
    replay = session.main.is_replay
    general, known = ([], frozenset[str]()) if replay else candidate_lacks(session)
    offers = {name for suite in suites for task in suite.tasks for name in task.offers}
    absent = frozenset[str]() if general else not_offered(session, offers)
    asks_text = not general and any(task.text for suite in suites for task in suite.tasks)
    texts = text_lacks(session) if asks_text else {}
    out: dict[str, dict[str, list[str]]] = {}
    worlds: dict[tuple[str, ...], Offered] = {}  # a world takes seconds to open, and tasks need few sets of buffers
    for suite in suites:
        out[suite.name] = {}
        for task in suite.tasks:
            if session.world not in task.worlds:
                reasons = [f"{session.world} cannot be asked this; {', '.join(task.worlds)} can"]
            else:
                if task.truth not in worlds:
                    worlds[task.truth] = offered(session, task.truth)
                reasons = [*world_lacks(session.world, worlds[task.truth], task), *general]
                unknown = sorted(set(task.actions) - known)
                reasons += texts.get(task.text, [])
                if not replay and not general and unknown:
                    reasons.append(f"{session.main.env} has no action {', '.join(unknown)}")
                reasons += [f"{session.main.env} offers no {name}" for name in task.offers if name in absent]
            out[suite.name][task.name] = reasons
    return out


def amount_lacks(suite: Suite, session: Session, task: Task) -> list[str]:
    """Why a task that can be run has no episodes in this session: its preset asks less than others do."""
    if any(e.task == task.name for e in suite.episodes(session)):
        return []
    asking = [
        n for n, p in PRESETS.items() if any(e.task == task.name for e in suite.episodes(replace(session, preset=p)))
    ]
    return [f"{task.name} is asked by --n {' and '.join(asking)} alone"]


@dataclass(frozen=True)
class Offered:
    """What a true world, opened with some buffers, offers: its ``actions``, the keys of ``info`` and of
    ``info["truth"]`` after a reset, or why it cannot be opened."""

    actions: frozenset[str] = frozenset()
    info: frozenset[str] = frozenset()
    truth: frozenset[str] = frozenset()
    refused: str = ""


def offered(session: Session, buffers: tuple[str, ...]) -> Offered:
    """Opens the true world with these buffers once and looks."""
    try:
        with session.reference(depth="depth" in buffers, labels="labels" in buffers) as reference:
            _, info = reference.env.reset(seed=0, options={"map_seed": session.map_seeds[0]})
            return Offered(frozenset(reference.ids), frozenset(info), frozenset(info.get("truth", {})))
    except UNOPENED as error:
        return Offered(refused=f"{session.world} cannot be opened with truth={buffers} and map_seed: {error}")


def world_lacks(world: str, found: Offered, task: Task) -> list[str]:
    """What the true world does not offer of what a task needs."""
    if found.refused:
        return [found.refused]
    reasons = [f"{world} has no action {a}" for a in task.actions if a not in found.actions]
    if "frames" not in found.info:
        reasons.append(f'{world} gives no info["frames"]')
    wanted = ("camera", *task.truth)
    return [*reasons, *(f'{world} gives no info["truth"]["{b}"]' for b in wanted if b not in found.truth)]


def candidate_lacks(session: Session) -> tuple[list[str], frozenset[str]]:
    """What the first candidate does not offer of what every suite needs (spaces, action names, a start from frames),
    and the names of its actions."""
    env = session.main.env
    if env not in gym.registry:
        return [f"{env} is no registered Gymnasium id (import the package that registers it)"], frozenset()
    try:
        candidate = session.main.open(session.world, session.frame_size, 1)
    except Exception as error:  # the constructor is foreign code
        return [f"{env} cannot be made: {type(error).__name__}: {error}"], frozenset()
    try:
        if not isinstance(candidate, EnvCandidate):
            return [], frozenset()
        return _tried(candidate, session), frozenset(candidate.ids)
    finally:
        candidate.close()


def not_offered(session: Session, names: Collection[str]) -> frozenset[str]:
    """Those of the names that the first candidate's ``env.unwrapped`` has not (it can be made). Suites have judges of
    their own for the true world; a mutant of it offers nothing."""
    if not names or session.main.env == "true":
        return frozenset()
    if session.main.is_replay:
        return frozenset(names)
    candidate = session.main.open(session.world, session.frame_size, 1)
    try:
        assert isinstance(candidate, EnvCandidate)  # what is no replay
        return frozenset(name for name in names if not hasattr(candidate.env.unwrapped, name))
    finally:
        candidate.close()


def _tried(candidate: EnvCandidate, session: Session) -> list[str]:
    name, shape = candidate.env_id, (*session.frame_size, 3)
    prefix = "single_" if candidate.vectorised else ""
    space, actions = (getattr(candidate.env, f"{prefix}{kind}_space", None) for kind in ("observation", "action"))
    reasons = []
    if not isinstance(space, gym.spaces.Box) or space.shape != shape or space.dtype != np.uint8:
        reasons.append(f"{name} observes {space}; Box(0, 255, {shape}, uint8) is needed")
    if not isinstance(actions, gym.spaces.Discrete):
        reasons.append(f"{name} takes {actions}; Discrete is needed")
    if reasons:
        return reasons
    action = "noop" if "noop" in candidate.ids else next(iter(candidate.ids))
    block = (FRAMES, *shape)
    try:
        with session.reference(depth=False) as reference:
            real = reference.play((next(iter(reference.ids)),), session.map_seeds[0]).real
    except UNOPENED as error:
        return [f"{session.world} cannot be opened: {error}"]
    context = Context(np.zeros((1 + real, *shape), np.uint8), (action,), session.map_seeds[0])
    try:
        made = candidate.go_on([context], [(action,)], [0])
    except Exception as error:  # foreign code again
        why = f"{type(error).__name__}: {error}"
        return [f'{name} does not go on from reset(options={{"init_frames", "init_actions"}}): {why}']
    if made.blocks.shape[2:] != block:
        reasons.append(f'{name} gives info["frames"] of {made.blocks.shape[2:]}; {block} is needed')
    return reasons


def lines(found: dict[str, dict[str, list[str]]]) -> list[str]:
    """For people: which suites can be run, and why not the others."""
    out = []
    for suite, tasks in found.items():
        able = [t for t, reasons in tasks.items() if not reasons]
        if able:
            left = f" (not {', '.join(t for t in tasks if t not in able)})" if len(able) < len(tasks) else ""
            out.append(f"{suite}: can be run{left}")
        else:
            why = list(dict.fromkeys(r for reasons in tasks.values() for r in reasons))
            out.append(f"{suite}: cannot be run: {'; '.join(why)}")
    return out
