"""``worldsim agent train`` and ``worldsim agent evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Train:
    """Options of ``worldsim agent train``."""

    out: Path
    """Folder for the agent."""
    world: str = "worldsim/DoomBasic-v0"
    """World to learn: worldsim/DoomBasic-v0, worldsim/DoomTakeCover-v0, ..."""
    place: Annotated[Literal["dream", "truth"], tyro.conf.arg(name="in")] = "dream"
    """Where to learn it."""
    seed: int = 0
    """Training seed."""
    steps: int = 100_000
    """Steps of all lanes together."""
    obs: Literal["rgb", "latent"] = "rgb"
    """What the agent sees: the last frame, or the latent of the last block."""
    num_envs: int = 16
    """Lanes."""
    model: str | None = None
    """Packaged model or model folder, for the dream and for latents; the packaged one of the world if not
    given."""
    time_limit: int | None = None
    """Steps after which a training episode is truncated; the world's own if not given. Evaluation has the world's."""
    denoising_steps: int = 4
    """Denoising steps of the dream."""
    entropy: float | None = None
    """Weight of the policy's entropy; that of PPOConfig, the same in dream and truth, if not given."""
    truncate_on: float | None = None
    """End a dreamt episode where the model's own measure of hallucination exceeds this."""
    device: str = "auto"
    """Device of the dream."""


@dataclass(frozen=True)
class Evaluate:
    """Options of ``worldsim agent evaluate``."""

    agents: tuple[Path, ...]
    """Folders of agents; those trained alike but for the seed make one row."""
    world: str = "worldsim/DoomBasic-v0"
    """The true world."""
    episodes: int = 100
    """Test episodes; every policy plays the same."""
    constant_episodes: int = 30
    """Validation episodes on which the best constant action is chosen."""
    dream_episodes: int = 0
    """Episodes in the dream, to set beside the true return (0: none)."""
    deterministic: bool = False
    """Take the likeliest action instead of sampling."""
    seed: int = 0
    """Seed of the episodes."""
    out: Path | None = None
    """Folder for evaluation.json and table.md; with --video for the video too."""
    video: bool = False
    """Also write a video of each row's first agent, in the dream beside the truth, and a contact sheet."""


def main(argv: Sequence[str]) -> int:
    """Runs one of the two commands; returns 0. What a user can put right is raised as ``ValueError``."""
    chosen = tyro.extras.subcommand_cli_from_dict(
        {"train": _train, "evaluate": _evaluate},
        prog="worldsim agent",
        description="Train an agent in the dream or in truth, and evaluate it in truth.",
        args=list(argv),
    )
    return int(chosen)


def _train(config: Annotated[Train, tyro.conf.arg(name="")]) -> int:
    """Train an agent (PPO) only in the model's dream of a world, or only in the true world.

    Writes policy.zip (a pickle: load only agents of your own), config.json and progress.jsonl to --out.
    """
    from worldsim_agents.places import Place
    from worldsim_agents.ppo import PPOConfig
    from worldsim_agents.train import TrainConfig, train

    place = Place(
        config.world, config.place, config.obs, model=config.model, time_limit=config.time_limit,
        denoising_steps=config.denoising_steps, truncate_on=config.truncate_on, device=config.device,
    )  # fmt: skip
    ppo = PPOConfig() if config.entropy is None else PPOConfig(entropy=config.entropy)
    folder = train(TrainConfig(place, config.seed, config.steps, config.num_envs, ppo), config.out)
    print(f"wrote {folder}; next: worldsim agent evaluate --world {config.world} --agents {folder}")
    return 0


def _evaluate(config: Annotated[Evaluate, tyro.conf.arg(name="")]) -> int:
    """Deploy agents in the true world beside a random policy and the best constant action.

    Loads the policies of the folders, which are pickles: name only agents that you trained yourself.
    """
    from worldsim_agents.evaluate import EvaluateConfig, evaluate, load_agents, write_evaluation

    if config.video and config.out is None:
        raise ValueError("--video needs a folder to write to: give --out too")
    agents = load_agents(config.agents)
    evaluation = evaluate(
        EvaluateConfig(
            config.world,
            config.episodes,
            config.constant_episodes,
            config.dream_episodes,
            config.deterministic,
            seed=config.seed,
        ),
        agents,
    )
    print(f"\n{evaluation.table()}")
    if config.out is not None:
        write_evaluation(evaluation, config.out)
        print(f"wrote {config.out}")
        if config.video:
            from worldsim_agents.show import show

            for path in show(agents, config.out, seed=config.seed):
                print(f"wrote {path}")
    return 0
