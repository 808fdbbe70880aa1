"""One way to train the small models that a study compares: a folder for each, a budget of steps, trained once.

A comparison says something where all but what is compared is equal: sizes, schedule, seed, codec, episodes. So every
model is trained by the training loop itself (``WorldTraining``) from the same first weights, ends by its steps and
never by the clock, and its folder keeps what was asked for. The same command given again goes on where it was and
trains no model twice; a folder whose model was asked for otherwise is refused, since its figure would belong to another
study.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from worldsim.model.codec import Codec, codec_digest
from worldsim.model.weights import WorldSimulator
from worldsim.recording.episode import Episode
from worldsim.training.configs import WorldTrainConfig
from worldsim.training.latents import LatentEpisode, LatentStore, encode_episode
from worldsim.training.pipeline import opened_cache
from worldsim.training.sources import SourceConfig, held_out_episodes
from worldsim.training.world import WorldTraining

ASKED, TRAINED = "asked.json", "trained.json"
"""What a folder's model was asked to be, and that it is."""


@dataclass(frozen=True)
class Material:
    """What all models of a study are made of: a frozen codec, its latents of training maps, and episodes of validation
    maps, which no model is trained on, as they are and as latents."""

    codec: Codec
    store: LatentStore
    held_out: tuple[Episode, ...]
    held_out_latents: tuple[LatentEpisode, ...]

    @classmethod
    def gather(
        cls,
        codec: Codec,
        source: SourceConfig,
        cache: Path,
        config: WorldTrainConfig,
        check: Callable[[Sequence[Episode]], None],
    ) -> Material:
        """Reads the source's held-out episodes, which ``check`` may refuse, then the latents in ``cache``, which is
        filled from ``source`` where it is empty."""
        held_out = tuple(held_out_episodes(source))
        check(held_out)
        store = opened_cache(source, codec, cache, config.image_every)
        return cls(codec, store, held_out, tuple(encode_episode(e, codec, config.image_every) for e in held_out))

    def only(self, worlds: Iterable[str]) -> Material:
        """Of some worlds alone. Raises ``ValueError`` for one that there is nothing of to train on, or to score on."""
        worlds = tuple(worlds)
        trained = {episode.world for episode in self.store.episodes}
        for world in worlds:
            for held, what in ((trained, "latents"), ({e.world for e in self.held_out}, "held-out episodes")):
                if world not in held:
                    raise ValueError(f"there are no {what} of {world!r}; there are of {', '.join(sorted(held))}")
        store = LatentStore([episode for episode in self.store.episodes if episode.world in worlds])
        chosen = [i for i, episode in enumerate(self.held_out) if episode.world in worlds]
        return replace(
            self,
            store=store,
            held_out=tuple(self.held_out[i] for i in chosen),
            held_out_latents=tuple(self.held_out_latents[i] for i in chosen),
        )


def check_budget(config: WorldTrainConfig) -> None:
    """Raises ``ValueError`` for a budget of minutes, which differ from run to run."""
    if config.optim.minutes:
        raise ValueError(f"optim.minutes={config.optim.minutes}: models are compared at equal steps; set it to 0")


def check_held_out(config: WorldTrainConfig, held_out: Sequence[Episode]) -> None:
    """Raises ``ValueError`` for a held-out episode that is shorter than a clip of ``config.clips.length`` latents."""
    needed = config.clips.length - 1
    if short := [episode for episode in held_out if len(episode) < needed]:
        least = min(short, key=len)
        raise ValueError(
            f"{len(short)} of {len(held_out)} held-out episodes are shorter than the {needed} steps of a clip (one of "
            f"{least.world} has {len(least)}): give shorter clips (clips.length), or longer episodes (source.max_steps)"
        )


def trained(run: Path, config: WorldTrainConfig, material: Material) -> WorldSimulator:
    """The model that ``config`` makes of ``material``, in folder ``run``: trained now unless it was.

    Raises ``ValueError`` where ``run`` holds a model that was asked for otherwise, or a budget of minutes is given;
    ``InterruptedError`` where the training was ended before its last step.
    """
    check_budget(config)
    asked = _asked(config, material)
    if (run / ASKED).exists():
        before = json.loads((run / ASKED).read_text())
        if "held_out" not in before:
            warnings.warn(f"{run} does not say its held-out episodes; taken to be these", stacklevel=2)
            before["held_out"] = asked["held_out"]
        if before != asked:
            raise ValueError(
                f"{run} holds a model that was trained with other options, on other episodes or of another codec; give "
                "another --out, or delete that folder"
            )
    if not (run / TRAINED).exists():
        run.mkdir(parents=True, exist_ok=True)
        (run / ASKED).write_text(json.dumps(asked, indent=2))
        training = WorldTraining(config, run, material.codec, material.store, list(material.held_out))
        training.loop.resume()
        simulator = training.run()
        if training.loop.step < config.optim.steps:
            raise InterruptedError(
                f"{run} stopped at step {training.loop.step} of {config.optim.steps}; the same command goes on"
            )
        found = {"steps": training.loop.step, "seconds": round(training.loop.elapsed), "digest": simulator.digest}
        (run / TRAINED).write_text(json.dumps(found, indent=2))
    return WorldSimulator.from_pretrained(run / "model").with_starter(None)  # which has learned elsewhere


def _asked(config: WorldTrainConfig, material: Material) -> dict[str, Any]:
    """All that the model depends on, as JSON gives it back (held-out episodes choose its temperature); how a run logs
    and saves is no part of it."""
    options = asdict(config)
    del options["run"]
    asked = {
        "options": options,
        "codec": codec_digest(material.codec),
        "episodes": _episodes(material.store.episodes),
        "held_out": _episodes(material.held_out_latents),
    }
    return json.loads(json.dumps(asked))


def _episodes(episodes: Sequence[LatentEpisode]) -> dict[str, dict[str, Any]]:
    """Of each world: episodes, their latents, and 12 hex digits over latents and words."""
    found: dict[str, dict[str, Any]] = {}
    for world in sorted({episode.world for episode in episodes}):
        sha, of_world = hashlib.sha256(), [episode for episode in episodes if episode.world == world]
        for episode in of_world:
            sha.update(episode.z.cpu().contiguous().view(torch.uint8).numpy().tobytes())
            sha.update(episode.words.scene.tobytes() + episode.words.view.tobytes())
        latents = sum(len(episode) + 1 for episode in of_world)
        found[world] = {"episodes": len(of_world), "latents": latents, "digest": sha.hexdigest()[:12]}
    return found
