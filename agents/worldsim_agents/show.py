"""A video of an agent in the dream beside the same agent in truth, and a contact sheet of it.

The dream starts from the very frame that the true episode starts from, so what differs later is the model's
doing and the agent's answer to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from worldsim.video import contact_sheet, real_frames, side_by_side, write_mp4, write_picture
from worldsim.worlds import world_named
from worldsim_agents.evaluate import Act, actor
from worldsim_agents.train import Agent

SHEET_PICTURES = 24


@dataclass(frozen=True)
class Recording:
    """One episode: frames uint8 ``(F, H, W, 3)``, the reset frame first, and the reward of each step."""

    frames: np.ndarray
    rewards: np.ndarray


def record(env: VecEnv, act: Act, seed: int, options: dict[str, Any] | None = None) -> Recording:
    """Plays one episode on ``env``, which has one lane. Padding frames are left out."""
    if env.num_envs != 1:
        raise ValueError(f"an episode is recorded on one lane; the environment has {env.num_envs}")
    env.seed(seed)
    env.set_options(options)
    observations: Any = env.reset()
    infos, rewards, done = [env.unwrapped.reset_infos[0]], [], np.zeros(1, bool)
    while not done[0]:
        observations, reward, done, info = env.step(act(observations))
        infos.append(info[0])
        rewards.append(reward[0])
    return Recording(real_frames(infos), np.array(rewards))


def beside(agent: Agent, seed: int = 0, split: str = "test", deterministic: bool = False) -> dict[str, Recording]:
    """One test episode of ``agent`` in truth, and one in the dream from the same first frame."""
    recordings: dict[str, Recording] = {}
    start = None
    for kind in ("truth", "dream"):
        env = replace(agent.config.place, kind=kind, split=split, time_limit=None).make(1)
        try:
            options = None if start is None else {"init_frames": start}
            recordings[kind] = record(env, actor(agent, deterministic), seed, options)
        finally:
            env.close()
        start = recordings["truth"].frames[None, :1]
    return {kind: recordings[kind] for kind in ("dream", "truth")}


def show(agents: Sequence[Agent], out: Path, seed: int = 0, deterministic: bool = False) -> list[Path]:
    """Writes ``<place>-<obs>-seed<s>.mp4`` and ``.png`` to ``out`` for the first agent of each kind of place
    and observation; returns the paths."""
    first: dict[tuple[str, str], Agent] = {}
    for agent in agents:
        first.setdefault((agent.config.place.kind, agent.config.place.obs), agent)
    paths = []
    for (kind, obs), agent in first.items():
        name = f"{kind}-{obs}-seed{agent.config.seed}"
        recordings = beside(agent, seed, deterministic=deterministic)
        paths += write_recordings(recordings, out / name, world_named(agent.config.place.world).fps, kind)
    return paths


def write_recordings(recordings: dict[str, Recording], path: Path, fps: float, kind: str) -> list[Path]:
    """Writes ``path`` as .mp4 (beside each other) and .png (contact sheet)."""
    titles = {f"in {name}: return {r.rewards.sum():.0f}": r.frames for name, r in recordings.items()}
    video = side_by_side(titles)
    pick = np.linspace(0, len(video) - 1, min(SHEET_PICTURES, len(video))).round().astype(int)
    sheet = contact_sheet(
        video[pick],
        labels=[f"{i / fps:.1f} s" for i in pick],
        title=f"PPO trained in {'the dream' if kind == 'dream' else 'truth'}: {', '.join(titles)}",
        columns=4,
    )
    return [
        write_mp4(path.with_suffix(".mp4"), video, fps),
        write_picture(path.with_suffix(".png"), sheet),
    ]
