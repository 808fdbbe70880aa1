"""Episodes whose facts are painted: each fact is a block of pixels, so that a captioner can know all of them."""

from dataclasses import replace

import numpy as np

from worldsim.captions.facts import EventFact, SceneFacts, Surface, Thing, ViewFacts
from worldsim.recording.episode import Episode
from worldsim.recording.facts_json import facts_to_json
from worldsim.worlds import WORLDS

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220), "white": (240, 240, 240)}
SIDES = ("left", "ahead", "right")
SIZE = 64
WORLDS_PAINTED = ("DoomRooms", "Scene")


def draw(rng: np.random.Generator, world: str) -> tuple[np.ndarray, ViewFacts, tuple[EventFact, ...]]:
    """A frame, and what it shows: wall above, floor below, a ball on one side, a lamp, a white bar where one is hurt.

    The worlds differ in their outermost columns.
    """
    wall, floor, ball = rng.choice(list(COLOURS), 3)
    side, bright, hurt, balls = rng.integers(3), rng.integers(2), rng.integers(2), rng.integers(3)
    frame = np.zeros((SIZE, SIZE, 3), np.uint8)
    frame[:32], frame[32:] = COLOURS[wall], COLOURS[floor]
    frame[:, :4] = frame[:, -4:] = (255, 0, 255) if world == "Scene" else (0, 255, 255)
    frame[:8, 8:56] = 255 if bright else 0
    for i in range(balls):
        top, left = 12 + 10 * i, 6 + 20 * int(side)
        frame[top : top + 8, left : left + 10] = 0
        frame[top + 1 : top + 7, left + 1 : left + 9] = COLOURS[ball]
    if hurt:
        frame[56:, 8:56] = (255, 255, 0)
    things = (Thing("ball", str(ball), int(balls), SIDES[side]),) if balls else ()
    view = ViewFacts(Surface(str(wall)), Surface(str(floor)), light="bright" if bright else "dark", things=things)
    return frame, view, (EventFact("damage"),) if hurt else ()


def paint_episode(seed: int, world: str = "DoomRooms", split: str = "train", steps: int = 40) -> Episode:
    """An episode whose observations are drawn anew at every step; facts without caption columns."""
    rng = np.random.default_rng(seed)
    scene = SceneFacts(world, WORLDS[world].prompt, walls=(Surface("red"),) if world == "DoomRooms" else ())
    drawn = [draw(rng, world) for _ in range(steps + 1)]
    frames = np.stack([frame for frame, _, _ in drawn])
    last = np.arange(steps) == steps - 1
    return Episode(
        world=world, map_seed=seed, split=split, goal="", policy="random", first=frames[0],
        blocks=np.repeat(frames[1:, None], 4, axis=1), n_frames=np.full(steps, 4, np.int8),
        actions=np.zeros(steps, np.int16), keys=np.zeros(steps, np.uint32), camera=np.zeros((steps, 2), np.float32),
        reward=np.zeros(steps, np.float32), terminated=np.zeros(steps, bool), truncated=last,
        pose=np.full((steps + 1, 4), np.nan, np.float32), scene="", views=[""] * (steps + 1),
        events=[""] * (steps + 1), facts=[facts_to_json(scene, view, events) for _, view, events in drawn],
        fps=20.0, frames_per_step=4,
    )  # fmt: skip


def without_facts(episode: Episode) -> Episode:
    """The same episode as one that somebody recorded who knew nothing of facts."""
    nothing = [""] * (len(episode) + 1)
    return replace(episode, scene="", views=nothing, events=nothing, facts=nothing)
