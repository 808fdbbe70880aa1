"""What an environment takes of text, found out by trying: starts from prompts, events while it runs, worlds by name."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import islice

import gymnasium as gym

from worldsim_benchmarks.candidates import Context, EnvCandidate, Told
from worldsim_benchmarks.suites.session import Session

TITLES = {
    "worldsim/DoomRooms-v0": "Doom rooms", "worldsim/DoomTakeCover-v0": "Doom take cover",
    "worldsim/DoomHealthGathering-v0": "Doom health gathering", "worldsim/DoomMyWayHome-v0": "Doom my way home",
    "worldsim/DoomBasic-v0": "Doom basic", "worldsim/Table-v0": "Physics table", "worldsim/Crafter-v0": "Crafter",
    "worldsim/Scene-v0": "Toy scene", "worldsim/Blocks-v0": "Minecraft-like block world",
}  # fmt: skip
"""True worlds as a prompt names them."""

PROMPT, EVENT, WORLDS = "prompt", "event", "worlds"
"""Values of ``Task.text``: a start from ``reset(options={"prompt"})``, ``set_prompt(kind="event")`` while it runs, and
starts in at least two worlds by their names alone."""


def text_lacks(session: Session) -> Mapping[str, list[str]]:
    """For each value of ``Task.text``: what the session's first candidate does not offer of it."""
    name = session.main.env
    if session.main.is_replay:
        return {need: [f"{name} is played on true maps: it takes no text"] for need in (PROMPT, EVENT, WORLDS)}
    try:
        candidate = session.main.open(session.world, session.frame_size, 1)
    except Exception:  # foreign code; what every task needs is told elsewhere
        return {}
    assert isinstance(candidate, EnvCandidate)
    try:
        prompt, event = _start_lacks(candidate, session), _event_lacks(candidate, session)
    finally:
        candidate.close()
    return {PROMPT: prompt, EVENT: event, WORLDS: prompt or _worlds_lack(session)}


def _worlds_lack(session: Session) -> list[str]:
    with closing(_worlds(session)) as found:
        two = list(islice(found, 2))
    if len(two) == 2 and session.world in two:
        return []
    name, worlds = session.main.env, worlds_named(session)
    if len(worlds) < 2:
        return [f"{name} starts in {len(worlds)} of the worlds that prompts name ({', '.join(worlds)}); two are needed"]
    return [f"{name}, told no world, does not start in {session.world} by its name; in {', '.join(worlds)} it does"]


def _start_lacks(candidate: EnvCandidate, session: Session) -> list[str]:
    try:
        candidate.start({"prompt": [TITLES.get(session.world, session.world)]}, [0])
    except Exception as error:  # foreign code
        why = f"{type(error).__name__}: {error}"
        return [f'{candidate.env_id} does not start from reset(options={{"prompt"}}): {why}']
    return []


def _event_lacks(candidate: EnvCandidate, session: Session) -> list[str]:
    with session.reference(depth=False) as reference:
        rollout = reference.play(("noop",), session.map_seeds[0], prefix=1)
    try:
        candidate.go_on([Context.of(rollout)], [("noop",)], [0], Told(("you are hurt",)))
    except Exception as error:  # foreign code
        why = f"{type(error).__name__}: {error}"
        return [f'{candidate.env_id} takes no env.unwrapped.set_prompt(texts, kind="event", steps=4): {why}']
    return []


def worlds_named(session: Session) -> list[str]:
    """The true worlds of this machine that the first candidate starts in when told nothing but their names."""
    found = set(_worlds(session))
    return [world for world in TITLES if world in found]


def _worlds(session: Session) -> Generator[str, None, None]:
    """The same one by one, that of the session first."""
    candidate = replace(session.main, world_keyword="").open(session.world, session.frame_size, 1)
    assert isinstance(candidate, EnvCandidate)
    try:
        for world in sorted(TITLES, key=lambda world: world != session.world):
            try:
                candidate.start({"prompt": [TITLES[world]]}, [0])
                gym.make(world, disable_env_checker=True).close()
            except Exception:  # refused by foreign code, or a world that is not installed
                continue
            yield world
    finally:
        candidate.close()
