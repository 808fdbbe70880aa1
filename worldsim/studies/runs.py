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
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from worldsim.model.codec import Codec
from worldsim.model.weights import WorldSimulator
from worldsim.recording.episode import Episode
from worldsim.training.latents import LatentEpisode, LatentStore, encode_episode
from worldsim.training.pipeline import opened_cache
from worldsim.training.presets import WorldTrainConfig
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
    def gather(cls, codec: Codec, source: SourceConfig, cache: Path, config: WorldTrainConfig) -> Material:
        """Reads the latents in ``cache``, which is filled from ``source`` where it is empty, and the source's held-out
        episodes."""
        store = opened_cache(source, codec, cache, config.image_every)
        held_out = tuple(held_out_episodes(source))
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


def trained(run: Path, config: WorldTrainConfig, material: Material) -> WorldSimulator:
    """The model that ``config`` makes of ``material``, in folder ``run``: trained now unless it was.

    Raises ``ValueError`` where ``run`` holds a model that was asked for otherwise, or a budget of minutes is given;
    ``InterruptedError`` where the training was ended before its last step.
    """
    if config.optim.minutes:
        raise ValueError(f"optim.minutes={config.optim.minutes}: models are compared at equal steps; set it to 0")
    asked = _asked(config, material)
    if (run / ASKED).exists() and json.loads((run / ASKED).read_text()) != asked:
        raise ValueError(
            f"{run} holds a model that was trained with other options or on other episodes; give another --out, or "
            "delete that folder"
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
    return WorldSimulator.from_pretrained(run / "model")


def _asked(config: WorldTrainConfig, material: Material) -> dict[str, Any]:
    """All that the weights depend on, as JSON gives it back; how a run logs and saves is no part of it."""
    options = asdict(config)
    del options["run"]
    codec = hashlib.sha256()
    for name, tensor in sorted(material.codec.state_dict().items()):
        codec.update(name.encode() + tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    asked = {"options": options, "codec": codec.hexdigest()[:12], "episodes": _episodes(material.store.episodes)}
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
