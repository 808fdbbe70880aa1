"""A prompt is played: the video is the environment's under the actions that were chosen, and seeds decide all of it."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from worldsim_envs.sora.options import LaneOptions, SoraConfig, resolve

import worldsim
from worldsim.bank import Bank
from worldsim.captions.expander import GrammarExpander
from worldsim.model.debug import debug_bank, debug_simulator
from worldsim.model.weights import WorldSimulator
from worldsim.playing import Played, begin_from_prompt, generate
from worldsim.starts import lane_draws
from worldsim.worlds import WORLDS

PROMPT = "Doom rooms with red walls"


@pytest.fixture(scope="module")
def simulator() -> WorldSimulator:
    return debug_simulator(player=True, memory=True, termination=1e-6)


def play(simulator: WorldSimulator, prompt: str = PROMPT, steps: int = 5, seed: int = 3, **options: object) -> Played:
    return generate(prompt, steps, model=simulator, seed=seed, device="cpu", denoising_steps=1, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("start", "expand"), [("nearest", True), ("prompt", True), ("prompt", False)])
def test_it_is_what_the_environment_shows_under_these_actions(
    simulator: WorldSimulator, start: str, expand: bool
) -> None:
    played = play(simulator, start=start, expand=expand)
    env = gym.make("SoraWorld-v0", model=simulator, prompt=PROMPT, start=start, denoising_steps=1, device="cpu")
    if expand:
        env.unwrapped.expander = GrammarExpander()  # type: ignore[attr-defined]
    _, info = env.reset(seed=3)
    assert played.prompt == info["prompt"] and ("floor" in played.prompt) == (expand and start == "prompt")
    frames = [info["frames"], *(env.step(int(action))[4]["frames"] for action in played.actions)]
    assert np.array_equal(played.frames, np.concatenate(frames))
    assert (played.nearest is None) == (env.unwrapped.nearest is None) == (start == "prompt")  # type: ignore[attr-defined]
    env.unwrapped.set_prompt("a room with blue walls")  # type: ignore[attr-defined]
    assert env.unwrapped.nearest is None  # type: ignore[attr-defined]
    assert played.frames.shape == (1 + 4 * 5, 64, 64, 3) and not played.ended


def test_a_start_is_told_the_same_as_in_the_environment_its_goal_too(simulator: WorldSimulator) -> None:
    bank = debug_bank(frame_size=(48, 64))
    facts = {
        world: [replace(start, goal=WORLDS[world].goals[-1]) for start in bank.facts[world]] for world in bank.worlds
    }
    bank = Bank(bank.frames, facts)
    beginning = begin_from_prompt(f"{PROMPT}. a door opens", 5, bank=bank)
    asked = LaneOptions(f"{PROMPT}. a door opens", "nearest")
    noise_seed, draw = lane_draws(np.random.default_rng(5))
    episode = resolve(SoraConfig(), 0, 1, asked, bank, draw)
    assert beginning.start.text == episode.text and episode.text.goal == WORLDS["DoomRooms"].goals[-1] != ""
    assert np.array_equal(beginning.start.frames, episode.frames) and beginning.start.seed == noise_seed
    assert (beginning.prompt, beginning.event) == (episode.prompt, episode.event) and beginning.event == "a door opens"
    assert beginning.nearest is not None and episode.nearest is not None
    assert beginning.nearest.agreement == episode.nearest.agreement == "agrees on 1 of 1"


def test_seeds_decide_all(simulator: WorldSimulator) -> None:
    one, same, other = play(simulator), play(simulator), play(simulator, seed=4)
    assert np.array_equal(one.frames, same.frames) and np.array_equal(one.actions, same.actions)
    assert not np.array_equal(one.frames[0], other.frames[0])
    longer = play(simulator, steps=7)
    assert np.array_equal(longer.actions[:5], one.actions) and np.array_equal(longer.frames[:21], one.frames)


def test_the_prompt_finds_the_world(simulator: WorldSimulator) -> None:
    crafter = play(simulator, "Crafter, grassland with a cow")
    assert crafter.world is WORLDS["Crafter"] and crafter.frames.shape == (1 + 5, 64, 64, 3)
    assert set(crafter.actions.tolist()) <= set(WORLDS["Crafter"].reads)
    assert play(simulator, world="DoomBasic", steps=1).world is WORLDS["DoomBasic"]
    wide = play(simulator, frame_size=(32, 96), steps=1)
    assert wide.frames.shape == (5, 32, 96, 3)


def test_it_stops_where_the_world_ends() -> None:
    played = play(debug_simulator(player=True, termination=0.5), steps=50)
    assert played.ended and len(played.actions) < 50 and len(played.frames) == 1 + 4 * len(played.actions)


def test_what_cannot_be_played_is_told(simulator: WorldSimulator) -> None:
    assert worldsim.generate is generate
    with pytest.raises(ValueError, match=r"no player.*worldsim train player"):
        play(simulator.with_player(None))
    with pytest.raises(ValueError, match="steps=0"):
        play(simulator, steps=0)
    with pytest.raises(ValueError, match="seed=-1"):
        play(simulator, seed=-1)
    with pytest.raises(ValueError, match=r"start='bank'.*'nearest', 'prompt'"):
        play(simulator, start="bank")
    with pytest.raises(ValueError, match=r"no bank of starts to begin from; .*start=\"prompt\", `--start prompt`"):
        play(debug_simulator(player=True, bank=False), start="nearest")
    with pytest.raises(ValueError, match="unknown world 'Quake'"):
        play(simulator, world="Quake")
