"""What is measured: an environment that goes on from given frames, behind one call for learned and true ones.

``EnvCandidate`` sees a Gymnasium id only: batches through ``gym.make_vec`` where the id is vectorised by
itself, single environments otherwise. ``ReplayCandidate`` is a true world, or a mutant of it, that replays
the context. Shapes: N episodes, T steps, k video frames per block.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import gymnasium as gym
import numpy as np

from worldsim_benchmarks.truth import Reference, Rollout


@dataclass(frozen=True)
class Context:
    """What a candidate is given: an episode's frames uint8 ``(1 + k*n, H, W, 3)`` from its reset on, or a
    clip from the middle ``(k*n, H, W, 3)``, with the n actions that produced them. ``map_seed``, ``goal`` and ``pose``
    (None for the map's own start) are what a true world needs to replay it. A step is told by ``block`` frames, more
    than k where a world draws fewer (the last is repeated)."""

    frames: np.ndarray
    names: tuple[str, ...]
    map_seed: int
    goal: str = ""
    pose: tuple[float, float, float] | None = None
    block: int = 4

    @classmethod
    def of(cls, rollout: Rollout, stop: int | None = None, start: int = 0) -> Context:
        """The context of a true rollout: its steps ``start`` to ``stop`` (default: its whole prefix)."""
        stop = rollout.prefix if stop is None else stop
        video = rollout.video(start, stop)
        if start == 0:
            video = np.concatenate([rollout.first[None], video])
        told = rollout.blocks.shape[1]
        return cls(video, rollout.names[start:stop], rollout.map_seed, rollout.goal, rollout.pose, told)


@dataclass(frozen=True)
class Continuation:
    """What a candidate made of N contexts and T actions each.

    ``blocks`` uint8 ``(N, T, k, H, W, 3)``, ``reward`` float ``(N, T)``, ``terminated`` bool ``(N, T)``;
    ``predictions`` holds what ``env.unwrapped.last_predictions`` offered, each ``(N, T, ...)``. After an
    end the last frame is repeated.
    """

    blocks: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    predictions: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def frames(self) -> np.ndarray:
        """uint8 ``(N, T, H, W, 3)``: the observations."""
        return self.blocks[:, :, -1]


@dataclass(frozen=True)
class Told:
    """Event texts, one per episode, that are given right before step ``at`` (from 0) and hold for ``steps`` steps."""

    texts: tuple[str, ...]
    at: int = 0
    steps: int = 4

    def of(self, episodes: Sequence[int]) -> Told:
        """Those of some episodes."""
        return replace(self, texts=tuple(self.texts[i] for i in episodes))


class Candidate(Protocol):
    """Anything that can be measured."""

    name: str

    def go_on(
        self, contexts: Sequence[Context], actions: Sequence[Sequence[str]], seeds: Sequence[int]
    ) -> Continuation:
        """Continues each context with its own actions (equal lengths); one seed per episode."""
        ...

    def reconstruct(self, frames: np.ndarray) -> np.ndarray | None:
        """The codec's ceiling on uint8 blocks ``(B, k, H, W, 3)`` or one frame ``(1, H, W, 3)``; None where
        there is no codec."""
        ...

    def surprises(
        self, frames: Sequence[np.ndarray], names: Sequence[Sequence[str]], seed: int, draws: int, first: int = 0
    ) -> np.ndarray | None:
        """How badly each block of films of equal length is foreseen: float ``(M, n)``, frames as in ``Context``,
        ``draws`` of noise from ``seed`` on, the same for all films; None where that is not offered. Nobody asks about
        blocks before ``first``."""
        ...

    def close(self) -> None:
        """Frees what the candidate holds."""
        ...


class ReplayCandidate:
    """A true world (or a mutant) as candidate: resets to the same map, replays the context, goes on.

    What moves by itself is seeded anew from the end of the context, where the world can do that: the ceiling must not
    know by chance what nobody could foresee.
    """

    def __init__(self, world: str, frame_size: tuple[int, int] = (64, 64), mutant: str | None = None) -> None:
        self.name = mutant or "true"
        self.reference = Reference(world, frame_size, depth=False, mutant=mutant)

    def go_on(
        self, contexts: Sequence[Context], actions: Sequence[Sequence[str]], seeds: Sequence[int]
    ) -> Continuation:
        rollouts = [
            self.reference.play((*c.names, *a), c.map_seed, len(c.names), c.pose, c.goal, dynamics=int(seed) % 2**31)
            for c, a, seed in zip(contexts, actions, seeds, strict=True)
        ]
        return Continuation(
            np.stack([r.blocks[r.prefix :] for r in rollouts]),
            np.stack([r.reward[r.prefix :] for r in rollouts]),
            np.stack([r.terminated[r.prefix :] for r in rollouts]),
        )

    def reconstruct(self, frames: np.ndarray) -> np.ndarray | None:
        return None

    def surprises(
        self, frames: Sequence[np.ndarray], names: Sequence[Sequence[str]], seed: int, draws: int, first: int = 0
    ) -> np.ndarray | None:
        return None

    def close(self) -> None:
        self.reference.close()


class EnvCandidate:
    """A Gymnasium environment that accepts ``reset(options={"init_frames", "init_actions"})``.

    ``lanes`` episodes run at once where the id has a vector entry point. ``kwargs`` go to the constructor.
    """

    def __init__(self, env_id: str, lanes: int = 16, name: str = "model", **kwargs: Any) -> None:
        self.name, self.env_id, self.kwargs = name, env_id, kwargs
        self.vectorised = gym.spec(env_id).vector_entry_point is not None
        self.lanes = lanes if self.vectorised else 1
        self.env: Any = (
            gym.make_vec(env_id, num_envs=lanes, **kwargs) if self.vectorised else gym.make(env_id, **kwargs)
        )
        names = getattr(self.env.unwrapped, "action_meanings", None)
        if names is None:
            raise ValueError(f"{env_id} has no env.unwrapped.action_meanings, which scripts need to name their actions")
        self.ids = {name: i for i, name in enumerate(names)}

    def encode(self, names: Sequence[str]) -> np.ndarray:
        """Action ids int64 of names; ``ValueError`` for one that the environment has not."""
        unknown = sorted({n for n in names if n not in self.ids})
        if unknown:
            raise ValueError(f"{self.env_id} has no action {', '.join(unknown)}; it has {', '.join(self.ids)}")
        return np.array([self.ids[n] for n in names], np.int64)

    def start(self, options: dict[str, list[Any]], seeds: Sequence[int]) -> tuple[np.ndarray, dict[str, Any]]:
        """Resets with one entry per lane in each option (fewer than ``lanes``: the last is repeated).

        Returns observations and infos with a leading lane axis, repeated lanes included.
        """
        if self.vectorised:
            count = len(seeds)
            fill = list(range(count)) + [count - 1] * (self.lanes - count)
            merged = {k: _stacked([v[i] for i in fill]) for k, v in options.items()}
            return self.env.reset(seed=[int(seeds[i]) for i in fill], options=merged)
        observation, info = self.env.reset(seed=int(seeds[0]), options={k: v[0] for k, v in options.items()})
        return observation[None], info

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of all lanes; actions int64 ``(n,)``, n at most ``lanes``.

        Returns blocks ``(n, k, H, W, 3)``, rewards, terminated, truncated, predictions ``(n, ...)``.
        """
        n = len(actions)
        if self.vectorised:
            fill = np.concatenate([actions, np.repeat(actions[-1:], self.lanes - n)])
            _, reward, terminated, truncated, info = self.env.step(fill)
            blocks = info["frames"][:n]
        else:
            _, r, done, cut, info = self.env.step(actions[0])
            reward, terminated, truncated = np.array([r]), np.array([done]), np.array([cut])
            blocks = info["frames"][None]
        raw = getattr(self.env.unwrapped, "last_predictions", None) or {}
        lanes = {k: np.asarray(v) for k, v in raw.items() if k != "reward_values"}
        predictions = {k: (v if v.ndim and len(v) == self.lanes else v[None])[:n].copy() for k, v in lanes.items()}
        return np.array(blocks), reward[:n], terminated[:n], truncated[:n], predictions

    @property
    def reward_values(self) -> np.ndarray | None:
        """Reward of each bin of ``reward_distribution``, where the environment offers it."""
        raw = getattr(self.env.unwrapped, "last_predictions", None) or {}
        return np.asarray(raw["reward_values"], float) if "reward_values" in raw else None

    def go_on(
        self,
        contexts: Sequence[Context],
        actions: Sequence[Sequence[str]],
        seeds: Sequence[int],
        told: Told | None = None,
    ) -> Continuation:
        """As in ``Candidate``; ``told`` are event texts on the way, for what offers ``set_prompt``."""
        parts = []
        for group in _groups(contexts, self.lanes):
            members = [contexts[i] for i in group], [actions[i] for i in group], [seeds[i] for i in group]
            parts.append(self._batch(*members, told.of(group) if told else None))
        order = np.argsort(np.concatenate([np.array(g) for g in _groups(contexts, self.lanes)]))

        def joined(arrays: list[np.ndarray]) -> np.ndarray:
            return np.concatenate(arrays)[order]

        shared = set.intersection(*(set(p.predictions) for p in parts))
        return Continuation(
            joined([p.blocks for p in parts]),
            joined([p.reward for p in parts]),
            joined([p.terminated for p in parts]),
            {k: joined([p.predictions[k] for p in parts]) for k in sorted(shared)},
        )

    def tell(self, told: Told) -> None:
        """Gives each lane its event text (of fewer than ``lanes``, the last is repeated, as ``start`` does)."""
        texts = [*told.texts, *told.texts[-1:] * (self.lanes - len(told.texts))]
        self.env.unwrapped.set_prompt(texts if self.vectorised else texts[0], kind="event", steps=told.steps)

    def _batch(
        self, contexts: list[Context], actions: list[Sequence[str]], seeds: list[int], told: Told | None
    ) -> Continuation:
        options: dict[str, list[Any]] = {
            "init_frames": [c.frames for c in contexts],
            "init_actions": [self.encode(c.names) for c in contexts],
        }
        if any(c.goal for c in contexts):
            options["goal"] = [c.goal for c in contexts]
        self.start(options, seeds)
        ids_NT = np.stack([self.encode(a) for a in actions])
        over = np.zeros(len(contexts), bool)
        steps: list[tuple[np.ndarray, ...]] = []
        predictions: list[dict[str, np.ndarray]] = []
        for t in range(ids_NT.shape[1]):
            if over.all():
                blocks, reward, terminated = (
                    steps[-1][0].copy(),
                    np.zeros(len(over)),
                    np.zeros(len(over), bool),
                )
                predicted = predictions[-1]
                truncated = terminated
            else:
                if told is not None and t == told.at:
                    self.tell(told)
                blocks, reward, terminated, truncated, predicted = self.advance(ids_NT[:, t])
            if over.any():  # what the environment shows after an end belongs to another episode
                blocks[over] = steps[-1][0][over][:, -1:]
                reward, terminated = np.where(over, 0.0, reward), terminated & ~over
            steps.append((blocks, reward, terminated))
            predictions.append(predicted)
            over = over | terminated | truncated
        shared = set.intersection(*(set(p) for p in predictions))
        return Continuation(
            np.stack([s[0] for s in steps], 1),
            np.stack([s[1] for s in steps], 1),
            np.stack([s[2] for s in steps], 1),
            {k: np.stack([p[k] for p in predictions], 1) for k in sorted(shared)},
        )

    def reconstruct(self, frames: np.ndarray) -> np.ndarray | None:
        offered = getattr(self.env.unwrapped, "reconstruct", None)
        return None if offered is None else np.asarray(offered(frames))

    def surprises(
        self, frames: Sequence[np.ndarray], names: Sequence[Sequence[str]], seed: int, draws: int, first: int = 0
    ) -> np.ndarray | None:
        actions, env = [self.encode(n) for n in names], self.env.unwrapped
        together, alone = (getattr(env, name, None) for name in ("surprises", "surprise"))
        if together is not None:
            more = {"first": first} if "first" in inspect.signature(together).parameters else {}
            return np.asarray(together(frames, actions, "", seed, draws, **more))
        if alone is None:
            return None
        return np.stack([np.asarray(alone(f, a, "", seed, draws)) for f, a in zip(frames, actions, strict=True)])

    def close(self) -> None:
        self.env.close()


def _stacked(values: list[Any]) -> Any:
    return values if isinstance(values[0], str) else np.stack(values)


def _groups(contexts: Sequence[Context], lanes: int) -> list[list[int]]:
    """Indices in batches of at most ``lanes`` whose contexts have the same shape."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for i, c in enumerate(contexts):
        by_shape.setdefault(c.frames.shape, []).append(i)
    return [g[i : i + lanes] for g in by_shape.values() for i in range(0, len(g), lanes)]
