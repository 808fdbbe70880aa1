"""What an episode that begins from a start of a bank is told: the start's own caption and goal, and its frame.

One place for whoever begins one, so that the learned environment and a model that plays by itself tell a lane the same
of the same start. What it is told must be what it is shown; a prompt that found the start is a wish.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldsim.bank import BankStart
from worldsim.captions.grammar import prompt_text, whole_text
from worldsim.predictor import LaneText
from worldsim.recording.images import fit_frame
from worldsim.worlds import WorldSpec


@dataclass(frozen=True)
class Told:
    """A start of a bank as an episode begins with it: the ``text`` that the lane is told, the same as it is ``shown``
    to people, and its frame uint8 ``(1, H, W, 3)`` in the size of the episode."""

    text: LaneText
    shown: str
    frame: np.ndarray


def told(
    start: BankStart, world: WorldSpec, frame_size: tuple[int, int], goal: str | None = None, event: str = ""
) -> Told:
    """``start`` of ``world`` with its own caption, its own goal where ``goal`` is None, and an ``event`` beside it."""
    facts = start.facts
    text = LaneText(prompt_text(world, facts.scene), facts.view, facts.goal if goal is None else goal)
    shown = whole_text(world, facts.scene, facts.view, event)
    return Told(text, shown, fit_frame(start.frame, frame_size)[None])
