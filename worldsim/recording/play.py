"""Plays single episodes of true worlds with scripted or learned policies and records them.

The only module of ``worldsim.recording`` that touches environments: it uses ``worldsim_envs`` and Gymnasium
lazily.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from worldsim.actions import UNKNOWN_ACTION
from worldsim.captions.facts import CUT, EventFact
from worldsim.captions.grammar import cut_text
from worldsim.recording.episode import Episode, Step
from worldsim.recording.facts_json import facts_to_json
from worldsim.recording.mixture import EpisodePlan
from worldsim.recording.motion import motion_field
from worldsim.recording.shots import new_poses, only_moving, untouched
from worldsim.recording.words import word_episode
from worldsim.worlds import WorldSpec, world_named

if TYPE_CHECKING:
    import gymnasium

    from worldsim.recording.generate import GenerateConfig


class Player:
    """Keeps the worlds of one process open and plays planned episodes in them."""

    def __init__(self, config: GenerateConfig) -> None:
        self.config = config
        self.worlds: dict[tuple[str, tuple[int, int]], gymnasium.Env] = {}

    def play(self, plan: EpisodePlan) -> Episode:
        """Plays and records one episode. Equal plans give equal episodes, whatever was played before."""
        from worldsim_envs.policies import begin_at, make_policy

        env = self._world(plan.world, plan.frame_size or self.config.frame_size)
        rng = np.random.default_rng(plan.policy_seed)
        goal = "" if plan.cuts else _draw_goal(world_of(env).goals, plan.goal_draw, self.config.goals)
        options = {"map_seed": plan.map_seed, "goal": goal}
        _, info = env.reset(seed=plan.map_seed, options=options)
        policy = make_policy(plan.policy, world_of(env).spec_world, noise=self.config.noise)
        place = None if plan.cuts else begin_at(policy, world_of(env), np.random.default_rng([plan.policy_seed, 3]))
        if place is not None:
            _, info = _reset_at([place, None], env, plan.map_seed, options)
        episode = record_episode(
            env, policy, info, rng, plan, self.config.split, self.config.max_steps, self.config.motion
        )
        if not self.config.words:
            return episode
        return replace(episode, words=word_episode(episode.world, episode.facts, episode.map_seed))

    def close(self) -> None:
        for env in self.worlds.values():
            env.close()
        self.worlds.clear()

    def _world(self, name: str, size: tuple[int, int]) -> gymnasium.Env:
        if (name, size) not in self.worlds:
            import gymnasium

            import worldsim  # noqa: F401  (registers the worlds)

            env_id = name if ":" in name else world_named(name).env_id
            options = self.config.env_options
            if self.config.motion:
                options = {"truth": ("depth",)} | options
            self.worlds[name, size] = gymnasium.make(
                env_id,
                split=self.config.split,
                frame_size=size,
                disable_env_checker=True,
                **options,
            )
        return self.worlds[name, size]


def record_episode(
    env: gymnasium.Env,
    policy: Any,
    info: Mapping[str, Any],
    rng: np.random.Generator,
    plan: EpisodePlan,
    split: str,
    max_steps: int | None = None,
    motion: bool = False,
) -> Episode:
    """Plays ``policy`` from the reset that returned ``info`` to the end of the episode, or for
    ``max_steps``. ``motion`` keeps the true motion of the picture where ``info["truth"]`` has depth.

    Up to the last of the plan's cuts the policy only looks and walks, and at each the world is started anew at another
    pose, if it is untouched (``shots.py``); the world's time limit is that of the whole episode."""
    spec = world_of(env).spec_world
    first, caption, pose, facts = info["frames"][0], info["caption"], _pose(env, info), _facts(env)
    obs = info["frames"][-1]
    steps: list[Step] = []
    moves: list[np.ndarray] = []
    over = False
    limit = min(max_steps or world_of(env).time_limit, world_of(env).time_limit) if plan.cuts else max_steps
    due, begun = list(plan.cuts), info.get("truth", {})
    visited: list[Sequence[float]] = [pose]
    while not over:
        if due and len(steps) == due[0]:
            due.pop(0)
            obs, info, cut = _cut(env, plan, visited, rng, spec)
            over = len(steps) + 1 == limit
            steps.append(replace(cut, truncated=over))
            visited.append(cut.pose)
            if moves:
                moves.append(np.full_like(moves[-1], np.nan))
            continue
        action = int(spec.table.canonical[policy.act(env, obs, info, rng)])
        if due:
            action = int(spec.table.canonical[only_moving(action)])
        before = info["truth"] if motion else {}
        obs, reward, terminated, truncated, info = env.step(action)
        if "depth" in before:
            moves.append(motion_field(before, info["truth"]))
        truncated = bool(truncated) or (len(steps) + 1 == limit and not terminated)
        over = bool(terminated) or truncated
        steps.append(
            Step(
                action=action,
                keys=int(spec.table.keys[action]),
                camera=tuple(spec.table.camera[action].tolist()),
                frames=info["frames"],
                n_frames=int(info["n_frames"]),
                reward=float(reward),
                terminated=bool(terminated),
                truncated=truncated,
                pose=_pose(env, info),
                view=info["caption"]["view"],
                event=info["caption"]["event"],
                facts=_facts(env),
            )
        )
        visited.append(steps[-1].pose)
        paid = abs(reward - spec.living_reward) > 1e-6
        if due and (paid or info.get("events") or not untouched(begun, info.get("truth", {}))):
            due.clear()  # what was done would be undone
    episode = Episode.from_steps(
        steps,
        world=spec.name,
        map_seed=plan.map_seed,
        split=split,
        goal=info["goal"],
        policy=plan.policy,
        first=first,
        scene=caption["scene"],
        first_view=caption["view"],
        first_facts=facts,
        first_pose=pose,
        frames_per_step=spec.frames_per_step,
        fps=spec.fps,
    )
    return replace(episode, motion=np.stack(moves)) if moves else episode


def _cut(
    env: gymnasium.Env, plan: EpisodePlan, visited: Sequence[Any], rng: np.random.Generator, spec: WorldSpec
) -> tuple[np.ndarray, dict[str, Any], Step]:
    """Starts the world anew at another pose, or where it refuses all that are tried, at its own start: observation,
    info, and the step that is recorded of it. Its block is the first picture, which stands still."""
    options: dict[str, Any] = {"map_seed": plan.map_seed, "goal": ""}
    obs, info = _reset_at([*new_poses(visited, rng), None], env, plan.map_seed, options)
    scene, view, _ = world_of(env).facts()
    return (
        obs,
        info,
        Step(
            action=UNKNOWN_ACTION,
            keys=0,
            camera=(0.0, 0.0),
            frames=np.repeat(info["frames"][-1:], spec.frames_per_step, axis=0),
            n_frames=spec.frames_per_step,
            reward=0.0,
            terminated=False,
            truncated=False,
            pose=_pose(env, info),
            view=info["caption"]["view"],
            event=cut_text(info["caption"]["view"]),
            facts=facts_to_json(scene, view, (EventFact(CUT),)),
        ),
    )


def _reset_at(
    poses: Sequence[tuple[float, float, float] | None], env: gymnasium.Env, seed: int, options: dict[str, Any]
) -> tuple[np.ndarray, dict[str, Any]]:
    """Starts the world at the first of ``poses`` that it does not refuse; None is its own start."""
    for pose in poses:
        try:
            return env.reset(seed=seed, options=options | ({"pose": pose} if pose else {}))
        except ValueError:
            if pose is poses[-1]:
                raise
    raise ValueError("there are no poses to start at")


def world_of(env: gymnasium.Env) -> Any:
    """The true world inside the wrappers, whose own members Gymnasium does not declare."""
    return env.unwrapped


def _draw_goal(goals: Sequence[str], draw: float, share: float) -> str:
    """One of the goals for the first ``share`` of draws in [0, 1), ``""`` (the world's own reward) for the
    rest."""
    named = [goal for goal in goals if goal]
    return named[int(draw / share * len(named))] if named and draw < share else ""


def _pose(env: gymnasium.Env, info: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """Where the player is; in worlds of others that do not say, where the camera is."""
    if hasattr(world_of(env), "pose"):
        return world_of(env).pose()
    camera = info["truth"]["camera"]
    x, y, z = (float(value) for value in camera["c2w"][:3, 3])
    return x, y, z, float(camera["yaw"])


def _facts(env: gymnasium.Env) -> str:
    return facts_to_json(*world_of(env).facts())
