"""What the training distribution says of a world: how its training maps begin, as captions that ship with the code.

A prompt leaves most of a scene open, and what it leaves open is best filled as the training data would. So each world
has a file of ``SAMPLES`` starts of training maps, drawn by running the true world, in the descriptive captions that
the model is trained on. A file line is a count, the scene and the view, parted by tabs; the parser reads it back
to exactly the facts it states. ``python -m worldsim.captions.samples`` writes the files anew (it needs the engines).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from worldsim.captions.facts import SceneFacts, ViewFacts
from worldsim.captions.grammar import scene_caption, view_caption
from worldsim.captions.parse import parse_prompt
from worldsim.captions.phrases import Item, read_items
from worldsim.captions.vocabulary import split_words
from worldsim.worlds import SPLITS, WORLDS, WorldSpec, world_named

SAMPLES = 512
"""Training maps per world. The stock maps of Doom look alike at every start; the others are all different."""

FOLDER = Path(__file__).with_name("samples")


@dataclass(frozen=True)
class Moment:
    """What holds for an episode and what is seen at one moment of it."""

    scene: SceneFacts
    view: ViewFacts


def captions_of(world: str) -> tuple[tuple[int, str, str], ...]:
    """Count, scene and view of each different start of ``world``, a name in ``WORLDS``."""
    lines = (FOLDER / f"{world_named(world).name}.txt").read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return tuple((int(count), scene, view) for count, scene, view in rows)


@cache
def samples(world: str) -> tuple[Moment, ...]:
    """The starts of ``world``, each as often as it was drawn. Reading them takes up to half a second, once."""
    moments: list[Moment] = []
    for count, scene, view in captions_of(world):
        parsed = parse_prompt(f"{scene}. {view}" if view else scene, world)
        moments += [Moment(parsed.scene, parsed.view)] * count
    return tuple(moments)


@cache
def known_words(world: str) -> frozenset[tuple[str, str]]:
    """Shapes and patterns that starts, goals and settings of ``world`` name, as ("shape" or "pattern", name)."""
    spec = WORLDS[world]
    texts = [f"{scene}. {view}" for _, scene, view in captions_of(world)] + list(spec.goals)
    phrases = {phrase for text in texts for phrase in text.replace(" and ", ".").replace(",", ".").split(".")}
    phrases |= {word for setting in (spec.prompt, *spec.settings) for word in split_words(setting)}
    items = (item for phrase in phrases for item in read_items(split_words(phrase)))
    return frozenset((item.kind, _name(item)) for item in items if item.kind in ("shape", "pattern"))


def _name(item: Item) -> str:
    return str(item.value[0] if item.kind == "shape" else item.value)


def draw_captions(spec: WorldSpec, maps: int = SAMPLES) -> list[tuple[str, str]]:
    """Canonical descriptive scene and view of the first moment of ``maps`` training maps, by running the true world.

    The maps are the same for every call, and the first ones of a longer draw. Raises what ``gymnasium.make`` raises
    where the world's engine is not installed.
    """
    import gymnasium as gym

    from worldsim.registration import register_environments

    register_environments()
    rng = np.random.default_rng((0, spec.index))
    low, high = SPLITS["train"]
    drawn: list[tuple[str, str]] = []
    env = gym.make(spec.env_id, split="train", disable_env_checker=True)
    try:
        for map_seed in rng.integers(low, high, size=maps):
            env.reset(seed=int(map_seed), options={"map_seed": int(map_seed)})
            scene, view, _ = env.unwrapped.facts()  # type: ignore[attr-defined]
            drawn.append((scene_caption(scene, "descriptive"), view_caption(view, "descriptive")))
    finally:
        env.close()
    return drawn


def write_samples(spec: WorldSpec, folder: Path = FOLDER) -> Path:
    """Draws the starts of a world and writes its file, equal starts counted together in order of appearance."""
    counted = Counter(draw_captions(spec))
    path = folder / f"{spec.name}.txt"
    path.write_text("".join(f"{n}\t{scene}\t{view}\n" for (scene, view), n in counted.items()), encoding="utf-8")
    return path


if __name__ == "__main__":
    for world in WORLDS.values():
        print(write_samples(world))
