"""Recorded episodes as what a rollout begins from and is driven by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from worldsim.actions import multi_hot
from worldsim.captions.grammar import prompt_text, scene_caption, view_caption
from worldsim.predictor import LaneStart, LaneText
from worldsim.recording.episode import Episode
from worldsim.recording.facts_json import read_facts
from worldsim.worlds import WORLDS

Place = tuple[Episode, int]
"""An episode and the number of one of its observations."""


def text_at(place: Place, style: str) -> LaneText:
    """The texts of the moment at ``place``, worded in ``style`` without paraphrase."""
    episode, t = place
    scene, view, _ = read_facts(episode.facts[t])
    prompt = prompt_text(WORLDS[episode.world], scene_caption(scene, style))
    return LaneText(prompt, view_caption(view, style), episode.goal)


def start_at(place: Place, known: int, seed: int, told_scene: bool = True, told_view: bool = True) -> LaneStart:
    """A start at ``place`` that knows the ``known`` steps before it, with the texts of that moment, each if told."""
    episode, t = place
    spec, told = WORLDS[episode.world], text_at(place, "medium")
    text = LaneText(told.scene if told_scene else "", told.view if told_view else "", told.goal)
    blocks = episode.blocks[t - known : t, : episode.frames_per_step]
    frames = np.concatenate([episode.observations[t - known][None], *blocks])
    return LaneStart(spec, seed, text, frames, episode.actions[t - known : t].astype(np.int64))


def controls_at(places: Sequence[Place]) -> tuple[torch.Tensor, torch.Tensor]:
    """``keys (B, 32)`` and ``camera (B, 2)`` of the step that follows each place; none past an episode's end."""
    keys = np.array([e.keys[t] if t < len(e) else 0 for e, t in places], np.uint32)
    camera = np.stack([e.camera[t] if t < len(e) else np.zeros(2, np.float32) for e, t in places])
    return torch.from_numpy(multi_hot(keys)), torch.from_numpy(camera)
