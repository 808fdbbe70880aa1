"""Synthetic episodes whose pictures, rewards and texts are known functions of the actions."""

from dataclasses import replace

import numpy as np
import pytest

from worldsim.actions import UNKNOWN_ACTION
from worldsim.captions.facts import CUT, EventFact, SceneFacts, Surface, ViewFacts
from worldsim.recording.episode import Episode
from worldsim.recording.facts_json import facts_to_json, read_facts
from worldsim.training.arena import Arena
from worldsim.training.clips import ClipConfig, Clips, assemble
from worldsim.worlds import WORLDS

SPEC = WORLDS["DoomRooms"]


def make_episode(steps: int = 40, seed: int = 0, dies: bool = False, size: int | tuple[int, int] = 32) -> Episode:
    """Brightness of block t + 1 is 8 times the action of step t; the reward is the action."""
    rng = np.random.default_rng(seed)
    actions = rng.choice(np.array(SPEC.reads), steps).astype(np.int16)
    shade = (actions.astype(int) * 8).astype(np.uint8)
    height, width = (size, size) if isinstance(size, int) else size
    blocks = np.broadcast_to(shade[:, None, None, None, None], (steps, 4, height, width, 3)).copy()
    scene = SceneFacts(world="DoomRooms", walls=(Surface("red", "brick"),))
    view = ViewFacts(wall=Surface("blue", "stripe"))
    facts = [facts_to_json(scene, view, (EventFact("damage"),) if t % 7 == 3 else ()) for t in range(steps + 1)]
    ended = np.zeros(steps, bool)
    ended[-1] = dies
    return Episode(
        world="DoomRooms",
        map_seed=seed,
        split="train",
        goal="",
        policy="random",
        first=np.full((height, width, 3), 255, np.uint8),
        blocks=blocks,
        n_frames=np.full(steps, 4, np.int8),
        actions=actions,
        keys=SPEC.table.keys[actions],
        camera=SPEC.table.camera[actions],
        reward=actions.astype(np.float32),
        terminated=ended,
        truncated=np.zeros(steps, bool),
        pose=np.full((steps + 1, 4), np.nan, np.float32),
        scene="",
        views=[""] * (steps + 1),
        events=[""] * (steps + 1),
        facts=facts,
    )


def with_cut(episode: Episode, step: int) -> Episode:
    """The episode with a cut at ``step``: no command, no reward, and the event in its facts."""
    changed = {name: getattr(episode, name).copy() for name in ("actions", "keys", "camera", "reward")}
    changed["actions"][step] = UNKNOWN_ACTION
    for name in ("keys", "camera", "reward"):
        changed[name][step] = 0
    scene, view, _ = read_facts(episode.facts[step + 1])
    facts = list(episode.facts)
    facts[step + 1] = facts_to_json(scene, view, (EventFact(CUT),))
    return replace(episode, facts=facts, **changed)


def clips_from(picks, config: ClipConfig, seed: int = 0) -> Clips:
    """Clips from pairs of an encoded episode and the latent to begin with."""
    arena = Arena(picks[0][0].z.shape[1:])
    for episode, _ in picks:
        arena.add(episode)
    starts = np.array([start for _, start in picks])
    return assemble(arena, np.arange(len(picks)), starts, config, np.random.default_rng(seed))


@pytest.fixture
def episodes() -> list[Episode]:
    return [make_episode(seed=i, dies=i % 2 == 0, steps=20 + 10 * i) for i in range(4)]
