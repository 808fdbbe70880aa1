"""The facts of an episode as word ids, which is what training reads of them.

Wording costs some 50 microseconds a step, more than a GPU takes to train on it, so it is done once per episode, by the
process that played it where worlds play live. A moment's view and events are worded once; the scene, which is the same
for a whole episode, several times in every style, so that the encoder meets many wordings of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldsim.captions.grammar import happening_caption, prompt_text, scene_caption, view_caption
from worldsim.captions.styles import STYLES
from worldsim.captions.vocabulary import word_rows
from worldsim.recording.facts_json import read_facts
from worldsim.worlds import WORLDS

# S wordings, T steps, L = MAX_TOKENS words

WORDINGS = 2
"""Wordings of a scene in each style."""


@dataclass(frozen=True)
class EpisodeWords:
    """``scene`` int16 ``(S, L)`` and ``view`` int16 ``(T + 1, L)`` word ids, 0 where a text has ended; ``event`` the
    ``T + 1`` event captions, ``""`` where nothing happened; ``plain`` the scene's caption without paraphrase, equal for
    equal scenes."""

    scene: np.ndarray
    view: np.ndarray
    event: tuple[str, ...]
    plain: str


def word_episode(world: str, facts: Sequence[str], seed: int, styles: Sequence[str] = STYLES) -> EpisodeWords:
    """Words of an episode of ``world`` whose moments have ``facts`` (JSON lines), in ``styles`` alone; equal arguments
    give equal words. A scene has as many wordings in whatever styles."""
    rng = np.random.default_rng([abs(seed), len(facts)])
    scene = read_facts(facts[0])[0]
    in_turns = [styles[i % len(styles)] for i in range(WORDINGS * len(STYLES))]
    scenes = [prompt_text(WORLDS[world], scene_caption(scene, style, rng)) for style in in_turns]
    views, events = [], []
    for line in facts:
        _, view, happened = read_facts(line)
        style = styles[int(rng.integers(len(styles)))]
        views.append(view_caption(view, style, rng))
        events.append(happening_caption(view, happened, style, rng) if happened else "")
    return EpisodeWords(word_rows(scenes), word_rows(views), tuple(events), scene_caption(scene, "medium"))
