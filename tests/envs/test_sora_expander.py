"""The learned environment with an expander: for bare names by default, on for text starts, always shown, a lane at a
time."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils import seeding
from worldsim_envs.sora import SoraWorldEnv, SoraWorldVectorEnv
from worldsim_envs.sora.options import Episode, SoraConfig, resolve, split_options

import worldsim  # noqa: F401  (registers the environments)
from worldsim.captions.expander import BareExpander, Expansion, GrammarExpander
from worldsim.captions.facts import Surface
from worldsim.captions.parse import parse_prompt
from worldsim.model.debug import debug_bank, debug_simulator
from worldsim.model.weights import WorldSimulator
from worldsim.starts import lane_draws
from worldsim.worlds import DOOM_WORLDS, WORLDS

FRAMES = np.zeros((1, 64, 64, 3), np.uint8)
PROMPT = "red walls"


@pytest.fixture(scope="module")
def simulator() -> WorldSimulator:
    return debug_simulator(termination=0.001)


def begin(world: str | None = None, draw: int = 4, expander: Any = None, worlds: Any = None, **options: Any) -> Episode:
    asked = split_options(options, 1, batched=False)[0]
    config = SoraConfig.check(world, (64, 64))
    return resolve(config, 0, 1, asked, debug_bank(), draw, worlds or tuple(WORLDS), expander)


def test_an_episode_gets_the_texts_of_the_expansion_and_shows_them() -> None:
    full = GrammarExpander().expand(PROMPT, 4, "DoomRooms")
    episode = begin(expander=GrammarExpander(), prompt=PROMPT)
    assert episode.prompt == full.text
    assert (episode.text.scene, episode.text.view) == (f"Doom rooms: {full.scene_text}", full.view_text)
    assert begin(prompt=PROMPT).prompt == "Doom rooms: rooms and corridors with coloured walls. red walls"


def test_a_text_start_without_a_prompt_expands_the_world_s_own() -> None:
    episode = begin("Table", expander=GrammarExpander(), start="prompt")
    assert episode.prompt == GrammarExpander().expand(WORLDS["Table"].prompt, 4, "Table").text


def test_frames_and_bank_starts_are_not_expanded() -> None:
    for options in ({"init_frames": FRAMES, "prompt": PROMPT}, {"start": "bank"}, {"init_frames": FRAMES}):
        with_expander, without = begin(expander=GrammarExpander(), **options), begin(**options)
        assert (with_expander.prompt, with_expander.text) == (without.prompt, without.text)


def test_the_world_is_the_one_that_the_prompt_means_among_those_of_the_model() -> None:
    assert begin(prompt="two cows by a tree").world.name == "Crafter"
    assert begin(prompt="two cows by a tree", worlds=DOOM_WORLDS).world.name == "DoomRooms"
    assert begin(prompt="two cows by a tree", worlds=DOOM_WORLDS, expander=GrammarExpander()).world.name == "DoomRooms"
    assert begin("DoomBasic", prompt="labyrinth, red walls").world.name == "DoomBasic"
    assert begin(prompt="labyrinth, red walls").world.name == "DoomMyWayHome"


def test_a_configured_world_lends_its_own_setting_to_a_prompt_that_names_none() -> None:
    assert begin("DoomBasic", prompt=PROMPT).text.scene == "Doom basic: a monster at the far wall of a room"


class Recorder(GrammarExpander):
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, int, str | None]] = []

    def expand(self, prompt: str, seed: int, world: str | None = None) -> Expansion:
        self.asked.append((prompt, seed, world))
        return super().expand(prompt, seed, world)


def test_it_is_turned_on_and_off_on_the_environment(simulator: WorldSimulator) -> None:
    env = gym.make("SoraWorld-v0", disable_env_checker=True, model=simulator, denoising_steps=2, prompt=PROMPT)
    plain = env.reset(seed=1)
    assert isinstance(env.unwrapped.expander, BareExpander) and "ceiling" not in plain[1]["prompt"]  # type: ignore[attr-defined]
    recorder = Recorder()
    env.unwrapped.expander = recorder  # type: ignore[attr-defined]
    first, info = env.reset(seed=1)
    again, same = env.reset(seed=1)
    assert np.array_equal(first, again) and info["prompt"] == same["prompt"]
    assert recorder.asked[0] == recorder.asked[1] and recorder.asked[0][0] == PROMPT
    read = parse_prompt(info["prompt"])
    assert read.view.wall.colour == "red" and read.view.floor != Surface() and read.unknown == ()
    assert env.reset(seed=2)[1]["prompt"] != info["prompt"]
    assert set(info) == set(plain[1])
    env.unwrapped.set_prompt("blue walls")  # type: ignore[attr-defined]
    _, _, _, _, info = env.step(0)
    assert info["prompt"].endswith(". blue walls") and len(recorder.asked) == 3
    env.unwrapped.expander = None  # type: ignore[attr-defined]
    back, info = env.reset(seed=1)
    assert np.array_equal(back, plain[0]) and info["prompt"] == plain[1]["prompt"]


def test_a_world_that_is_only_named_is_expanded_unless_that_is_turned_off(simulator: WorldSimulator) -> None:
    env = SoraWorldEnv(model=simulator, denoising_steps=2)
    _, info = env.reset(seed=1, options={"prompt": "Doom rooms"})
    assert parse_prompt(info["prompt"]).view.wall != Surface()
    draw = lane_draws(seeding.np_random(1)[0])[1]
    assert info["prompt"] == GrammarExpander().expand("Doom rooms", draw, "DoomRooms").text
    env.expander = None
    assert env.reset(seed=1, options={"prompt": "Doom rooms"})[1]["prompt"] == (
        "Doom rooms: rooms and corridors with coloured walls"
    )


def test_an_expander_changes_no_other_draw_of_an_episode(simulator: WorldSimulator) -> None:
    """A second episode from the bank is the same, whether the first was expanded or not."""
    seen = []
    for expander in (None, GrammarExpander()):
        env = SoraWorldEnv(model=simulator, denoising_steps=2)
        env.expander = expander
        env.reset(seed=5, options={"prompt": PROMPT})
        seen.append(env.reset()[0])
    assert np.array_equal(*seen)


def test_lanes_are_expanded_as_single_environments_are(simulator: WorldSimulator) -> None:
    env = SoraWorldVectorEnv(3, model=simulator, denoising_steps=2, prompt=[PROMPT, "blue walls", PROMPT], time_limit=1)
    env.expander = GrammarExpander()
    _, info = env.reset(seed=7)
    for lane, prompt in enumerate([PROMPT, "blue walls", PROMPT]):
        single = SoraWorldEnv(model=simulator, denoising_steps=2, prompt=prompt)
        single.expander = GrammarExpander()
        assert single.reset(seed=7 + lane)[1]["prompt"] == info["prompt"][lane]
    assert len(set(info["prompt"])) == 3
    env.step(np.zeros(3, int))
    _, _, _, _, later = env.step(np.zeros(3, int))  # NextStep: new episodes, expanded anew
    assert all(parse_prompt(text).view.floor != Surface() for text in later["prompt"])
    assert (later["prompt"] != info["prompt"]).all()
    assert env.expander is not None
