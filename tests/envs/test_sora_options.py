"""How an episode of the learned environment begins: sources, prompts, goals, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from worldsim_envs.sora.options import (
    Episode,
    LaneOptions,
    SoraConfig,
    per_lane,
    resolve,
    split_options,
)

from worldsim.bank import Bank, StartFacts
from worldsim.model.debug import debug_bank
from worldsim.predictor import LaneText

BANK = debug_bank()
FRAMES = np.zeros((1, 64, 64, 3), np.uint8)


def config(world: str | None = None, **given: Any) -> SoraConfig:
    return SoraConfig.check(world, given.pop("frame_size", (64, 64)), **given)


def begin(settings: SoraConfig, draw: int = 0, **options: Any) -> Episode:
    return resolve(settings, 0, 1, split_options(options, 1, batched=False)[0], BANK, draw)


def test_without_anything_an_episode_begins_from_the_bank() -> None:
    episode = begin(config(), draw=4)
    assert episode.world.name == "DoomRooms"
    assert episode.frames is not None
    assert np.array_equal(episode.frames[0], BANK.frames["DoomRooms"][1])
    assert episode.text.scene == "Doom rooms: rooms and corridors with coloured walls"
    assert episode.text.view == "a red wall" and episode.prompt.endswith(". a red wall")


def test_the_nearest_start_of_the_bank_brings_its_own_caption() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    views = ("a red wall", "a green wall", "a blue wall")
    facts = [StartFacts(i, "collect the red ball", "a maze", view) for i, view in enumerate(views)]
    bank = Bank({"DoomRooms": frames}, {"DoomRooms": facts})

    def nearest(**options: Any) -> Episode:
        asked = split_options({"start": "nearest", **options}, 1, batched=False)[0]
        return resolve(config(), 0, 1, asked, bank, 0)

    episode = nearest(prompt="green walls and a blue floor. a door opens")
    assert episode.frames is not None and np.array_equal(episode.frames[0], frames[1])
    assert episode.text == LaneText("Doom rooms: a maze", "a green wall", "collect the red ball")
    assert episode.event == "a door opens" and episode.prompt == "Doom rooms: a maze. a green wall. a door opens"
    with pytest.raises(ValueError, match="has starts of DoomRooms only"):
        nearest(prompt="Crafter, grassland")


def test_a_prompt_names_its_world_and_is_split_into_scene_and_view() -> None:
    episode = begin(config(), prompt="doom take cover, dark, a blue brick wall")
    assert episode.world.name == "DoomTakeCover" and episode.frames is None
    assert episode.text.scene.startswith("Doom take cover") and "blue" not in episode.text.scene
    assert "blue" in episode.text.view and "dark" in episode.text.view
    assert episode.prompt.startswith("Doom take cover") and "blue" in episode.prompt


def test_a_prompt_that_names_no_world_means_the_default_or_the_configured_one() -> None:
    assert begin(config(), prompt="red walls").world.name == "DoomRooms"
    assert begin(config("DoomBasic"), prompt="red walls").world.name == "DoomBasic"
    assert begin(config("worldsim/DoomBasic-v0"), prompt="Doom take cover: red walls").world.name == "DoomBasic"


def test_options_come_before_constructor_arguments() -> None:
    settings = config(prompt="red walls", goal="collect the red ball")
    assert begin(settings).frames is None and "red" in begin(settings).prompt
    assert "green" in begin(settings, prompt="green walls").prompt
    assert begin(settings, start="bank").frames is not None
    assert begin(settings, init_frames=FRAMES).frames is FRAMES
    assert begin(settings).text.goal == "collect the red ball"
    assert begin(settings, goal="").text.goal == ""
    assert begin(config(start="bank"), prompt="green walls").frames is None
    assert begin(config(start="prompt"), prompt="green walls").frames is None
    assert begin(config(start="nearest", prompt="a blue wall"), prompt="a red wall").frames is not None
    assert begin(config(start="nearest", prompt="a blue wall"), prompt="a red wall", start="prompt").frames is None
    assert begin(config(start="nearest"), init_frames=FRAMES, prompt="a red wall").frames is FRAMES


@pytest.mark.parametrize("prompts", ["a red wall", ["a red wall", "a green wall"]])
def test_a_given_prompt_keeps_the_nearest_start_of_its_lane(prompts: str | list[str]) -> None:
    settings = config(start=["nearest", None], prompt=["a blue wall", "a blue wall"])
    lanes = split_options({"prompt": prompts}, 2, batched=True)
    near, drawn = (resolve(settings, i, 2, asked, BANK, 0) for i, asked in enumerate(lanes))
    assert near.frames is not None and near.text.view == "a red wall"
    assert drawn.frames is None


def test_a_text_start_without_a_prompt_uses_the_world_s_own() -> None:
    episode = begin(config("DoomBasic", start="prompt"))
    assert episode.frames is None and episode.text.scene.startswith("Doom basic: ")


def test_given_frames_may_have_a_prompt_and_speak_the_environment_s_actions() -> None:
    episode = begin(config("DoomBasic", actions="world"), init_frames=FRAMES, init_actions=np.array([0, 3]))
    assert episode.actions.tolist() == [0, 10]  # attack is the last action of this world
    assert "blue" in begin(config(), init_frames=FRAMES, prompt="a blue wall").text.view


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_frames": FRAMES, "start": "bank"}, "two sources at once"),
        ({"init_frames": FRAMES, "start": "prompt"}, "two sources at once"),
        ({"prompt": "red walls", "start": "bank"}, "two sources at once"),
        ({"init_actions": np.array([1])}, "without init_frames"),
        ({"init_frames": FRAMES, "init_actions": np.array([40])}, "accepted are 0 to 31"),
        ({"init_frames": FRAMES, "init_actions": np.array([-1])}, "accepted are 0 to 31"),
        ({"init_frames": FRAMES, "init_actions": np.array([0.5])}, "expected integers"),
        ({"init_frames": FRAMES, "init_actions": np.array([[1]])}, r"shape \(n,\)"),
        ({"start": "middle"}, "start='middle'; accepted are 'nearest', 'prompt', 'bank'"),
        ({"goal": "win"}, "goal='win' is no goal of worldsim/DoomRooms-v0"),
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": 3}, "prompt=3; expected a str"),
        ({"promt": "red walls"}, r"unknown reset options \['promt'\]; accepted are prompt, start"),
        ({"reset_mask": np.ones(1, bool)}, "unknown reset options"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        begin(config(), **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"world": "DoomRoom"}, "unknown world 'DoomRoom'; registered worlds are"),
        ({"actions": "world"}, 'actions="world" needs a world'),
        ({"actions": "all"}, "actions='all'"),
        ({"obs_type": "grey"}, "obs_type='grey'"),
        ({"render_mode": "human"}, "render_mode='human'"),
        ({"denoising_steps": 0}, "denoising_steps=0"),
        ({"denoising_steps": 2.0}, "denoising_steps=2.0"),
        ({"context_noise": 1.0}, "context_noise=1.0"),
        ({"context_noise": float("nan")}, "context_noise=nan"),
        ({"time_limit": 0}, "time_limit=0"),
        ({"truncate_on": 0.0}, "a threshold above 0"),
        ({"truncate_on": float("nan")}, "a threshold above 0"),
        ({"truncate_on": 2.0, "denoising_steps": 1}, "denoising_steps of at least 2"),
        ({"start": "bank", "prompt": "red walls"}, "two sources at once"),
        ({"start": ["bank", None], "prompt": "red walls"}, "two sources at once"),
        ({"start": "bank", "prompt": [None, "red walls"]}, "two sources at once"),
        ({"start": [None, "bank"], "prompt": [None, "red walls"]}, r"start=\[None, 'bank'\] with prompt=\[None"),
        ({"start": "random"}, "start='random'"),
        ({"prompt": " "}, "the prompt is empty"),
        ({"goal": "win"}, "is no goal of any world"),
        ({"world": "DoomBasic", "goal": "collect the red ball"}, "no goal of worldsim/DoomBasic-v0"),
        ({"frame_size": 64}, "expected .height, width."),
        ({"frame_size": (64, -16)}, "expected .height, width."),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**arguments)


def test_lanes_may_begin_from_different_sources() -> None:
    settings = config(start=["bank", None], prompt=[None, "green walls"])
    bank, drawn = (resolve(settings, i, 2, LaneOptions(), BANK, 0) for i in range(2))
    assert bank.frames is not None and drawn.frames is None and "green" in drawn.prompt


def test_texts_may_differ_by_lane() -> None:
    assert per_lane("prompt", "a", 2) == ["a", "a"] and per_lane("prompt", ["a", None], 2) == ["a", None]
    with pytest.raises(ValueError, match="a list of 3 str"):
        per_lane("prompt", ["a", "b"], 3)
    lanes = split_options({"prompt": ["red walls", None], "init_frames": [None, FRAMES]}, 2, batched=True)
    assert lanes == [LaneOptions("red walls"), LaneOptions(init_frames=FRAMES)]
    with pytest.raises(ValueError, match="init_frames has 1 rows for 2 lanes"):
        split_options({"init_frames": FRAMES}, 2, batched=True)


def test_a_missing_bank_is_explained() -> None:
    with pytest.raises(ValueError, match=r"has no bank of starts.*pass start=.prompt., a prompt"):
        resolve(config(), 0, 1, LaneOptions(), None, 0)
    with pytest.raises(ValueError, match=r"has no bank of starts.*one; let the model draw.*`--start prompt`.*the box"):
        resolve(config(), 0, 1, LaneOptions("red walls", "nearest"), None, 0)
