"""Trains an agent, either only in the model's dream or only in the true world: ``worldsim agent train``.

The folder of an agent holds ``policy.zip`` (a Stable-Baselines3 archive, which is a pickle: load only agents
that you trained yourself), ``config.json`` (all that is needed to train it again, with versions and the
model's digest) and ``progress.jsonl`` (one line per update). The policy is saved every few updates and at the
end, also when the run is interrupted.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import JSONOutputFormat, Logger

from worldsim_agents.places import Place, load_model
from worldsim_agents.ppo import PPOConfig, make_ppo

CONFIG, POLICY, PROGRESS = "config.json", "policy.zip", "progress.jsonl"
FORMAT_VERSION = 1
SAVE_EVERY = 10
"""Updates between two saves of the policy."""


@dataclass(frozen=True)
class TrainConfig:
    """A training run: where, with which seed, how many steps of all lanes together, on how many lanes."""

    place: Place
    seed: int = 0
    steps: int = 100_000
    num_envs: int = 16
    ppo: PPOConfig = field(default_factory=PPOConfig)


def train(config: TrainConfig, out: Path, quiet: bool = False) -> Path:
    """Trains an agent as ``config`` says and returns its folder ``out``.

    Raises ``ValueError`` where ``out`` already holds an agent, or where the lanes do not divide an update.
    """
    if (out / POLICY).exists():
        raise ValueError(f"{out} already holds an agent; choose another folder, or delete it")
    config = replace(config, place=replace(config.place, stack=config.ppo.stack))
    needs_model = config.place.kind == "dream" or config.place.obs == "latent"
    digest = load_model(config.place.model, config.place.world).digest if needs_model else None
    env = config.place.make(config.num_envs)
    try:
        agent = make_ppo(config.ppo, env, config.seed)
        # the lanes of different training seeds are to meet different episodes
        env.seed(config.seed * 10_000)
        out.mkdir(parents=True, exist_ok=True)
        _write_json(out / CONFIG, describe(config, digest))
        agent.set_logger(Logger(str(out), [JSONOutputFormat(str(out / PROGRESS))]))
        with _stop_requests() as requests:
            agent.learn(config.steps, callback=_Watch(out, config.steps, requests, quiet))
        save_policy(agent, out)
    finally:
        env.close()
    return out


def describe(config: TrainConfig, digest: str | None) -> dict[str, Any]:
    """What ``config.json`` holds."""
    return {
        "format_version": FORMAT_VERSION,
        **asdict(config),
        "model_digest": digest,
        "versions": {name: version(name) for name in ("worldsim-gym", "stable-baselines3", "torch", "gymnasium")},
        "argv": sys.argv[1:],
    }


@dataclass(frozen=True)
class Agent:
    """A trained agent: its policy, the run that made it, and the digest of the model that it was made
    with."""

    folder: Path
    ppo: PPO
    config: TrainConfig
    model_digest: str | None
    steps_done: int

    def act(self, observations: np.ndarray, deterministic: bool) -> np.ndarray:
        """Actions ``(N,)`` for a batch of observations as the place shows them."""
        return self.ppo.predict(observations, deterministic=deterministic)[0]


def load_agent(folder: str | Path) -> Agent:
    """Loads the folder of an agent. It holds a **pickle**: load only agents that you trained yourself.

    Raises ``FileNotFoundError`` where files are missing and ``ValueError`` where the configuration is not one
    of this version.
    """
    folder = Path(folder)
    for name in (CONFIG, POLICY):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} is not the folder of an agent: it has no {name}; make one with `worldsim agent train`"
            )
    content = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if content.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"{folder / CONFIG} has format version {content.get('format_version')}; this version of worldsim "
            f"reads {FORMAT_VERSION}: train the agent again"
        )
    config = TrainConfig(
        Place(**content["place"]),
        content["seed"],
        content["steps"],
        content["num_envs"],
        PPOConfig(**content["ppo"]),
    )
    ppo = PPO.load(folder / POLICY, device="cpu")
    return Agent(folder, ppo, config, content["model_digest"], ppo.num_timesteps)


def save_policy(agent: PPO, folder: Path) -> None:
    """Writes ``policy.zip``, which appears complete or not at all."""
    partial = folder / f".{os.getpid()}.zip"
    agent.save(partial)
    os.replace(partial, folder / POLICY)


class _Watch(BaseCallback):
    """Records progress after each rollout, saves now and then, and stops the run when it is asked to."""

    def __init__(self, out: Path, steps: int, requests: list[int], quiet: bool) -> None:
        super().__init__()
        self.out, self.steps, self.requests, self.quiet = out, steps, requests, quiet
        self.begun = self.printed = time.monotonic()
        self.updates = 0

    def _on_step(self) -> bool:
        return not self.requests

    def _on_rollout_end(self) -> None:
        self.updates += 1
        seconds = time.monotonic() - self.begun
        episodes = self.model.ep_info_buffer or ()
        mean = float(np.mean([e["r"] for e in episodes])) if episodes else float("nan")
        length = float(np.mean([e["l"] for e in episodes])) if episodes else float("nan")
        if self.updates % SAVE_EVERY == 0:
            save_policy(self.model, self.out)  # type: ignore[arg-type]
        if not self.quiet and time.monotonic() - self.printed > 5:
            self.printed = time.monotonic()
            rate = self.num_timesteps / seconds
            print(
                f"{self.num_timesteps:>9,} of {self.steps:,} steps  return {mean:8.1f}  "
                f"length {length:5.1f}  {rate:5.0f} steps/s",
                flush=True,
            )


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM, so that the run ends after its step and the policy is saved."""
    requests: list[int] = []
    try:
        before = {s: signal.signal(s, lambda n, _: requests.append(n)) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # only the main thread may handle signals
        before = {}
    try:
        yield requests
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)
