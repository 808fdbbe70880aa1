"""Deploys agents in the true world, beside what they must beat: ``worldsim agent evaluate``.

Every policy plays the same test episodes of the true world: the agents (trained in the dream or in truth),
a random policy, and the best constant action, which is chosen on other episodes (validation split). Agents
that were trained alike but for the seed make one row. Beside the true return of a dream's agent stands what
it earns in the dream: the gap between the two is how far it exploits its model.

Lanes play a fixed number of episodes each. Taking the first ones to finish instead would prefer short
episodes.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from worldsim.worlds import world_named
from worldsim_agents.places import Place, load_model
from worldsim_agents.statistics import Estimate, difference, mean_return, transfer
from worldsim_agents.train import Agent, load_agent

SCHEMA_VERSION = 1
Act = Callable[[np.ndarray], np.ndarray]
"""Chooses actions ``(N,)`` for the observations of N lanes."""


@dataclass(frozen=True)
class EvaluateConfig:
    """What to play. ``episodes`` are divided over lanes; ``constant_episodes`` choose the best constant
    action, ``dream_episodes`` measure the return in the dream (0: do not). Agents sample their actions as
    in training; ``deterministic`` takes the likeliest instead."""

    world: str
    episodes: int = 100
    constant_episodes: int = 30
    dream_episodes: int = 0
    deterministic: bool = False
    split: str = "test"
    seed: int = 0
    max_lanes: int = 16


@dataclass(frozen=True)
class Row:
    """One policy of the table. ``returns`` and ``lengths`` are ``(S, E)``: training seeds by episodes."""

    policy: str
    trained_in: str
    obs: str
    steps: int
    seeds: tuple[int, ...]
    returns: np.ndarray
    lengths: np.ndarray
    dream_returns: np.ndarray | None = None
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """Rows with, for each, differences to random and to the best constant action, and transfer ratios."""

    config: EvaluateConfig
    rows: tuple[Row, ...]
    constants: dict[str, float] = field(default_factory=dict)

    def row(self, policy: str) -> Row:
        return next(row for row in self.rows if row.policy == policy)

    def equal_truth(self, row: Row) -> Row | None:
        """The agents trained in truth like those of ``row``: same observation, same steps."""
        found = (r for r in self.rows if (r.trained_in, r.obs, r.steps) == ("truth", row.obs, row.steps))
        return next(found, None)

    def estimates(self, row: Row) -> dict[str, Estimate | None]:
        """Estimates of a row, by the name of its column; None where a column does not apply."""
        random, constant = self.row("random").returns, self.row("best constant").returns
        is_agent = bool(row.folders)
        truth = self.equal_truth(row) if row.trained_in == "dream" else None
        return {
            "return": mean_return(row.returns),
            "minus random": difference(row.returns, random) if is_agent else None,
            "minus best constant": difference(row.returns, constant) if is_agent else None,
            "transfer": transfer(row.returns, truth.returns, random) if truth else None,
            "return in the dream": None if row.dream_returns is None else mean_return(row.dream_returns),
        }

    def as_json(self) -> dict[str, Any]:
        """The evaluation as JSON-able data, with every return."""
        rows = []
        for row in self.rows:
            estimates = {k: None if e is None else asdict(e) for k, e in self.estimates(row).items()}
            content = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(row).items()}
            rows.append({**content, "estimates": estimates, "seed_means": row.returns.mean(axis=1).tolist()})
        return {
            "schema_version": SCHEMA_VERSION,
            "config": asdict(self.config),
            "constants": self.constants,
            "rows": rows,
            "versions": {name: version(name) for name in ("worldsim-gym", "stable-baselines3", "vizdoom")},
            "argv": sys.argv[1:],
        }

    def table(self) -> str:
        """The table as Markdown."""
        names = list(self.estimates(self.rows[0]))
        head = ["policy", "steps", "mean of each seed", *names]
        lines = [head, ["---"] * len(head)]
        for row in self.rows:
            estimates = self.estimates(row)
            means = ", ".join(f"{m:.0f}" for m in row.returns.mean(axis=1)) if row.folders else ""
            cells = ["" if e is None else _shown(name, e) for name, e in estimates.items()]
            lines.append([row.policy, f"{row.steps:,}" if row.folders else "", means, *cells])
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(name: str, e: Estimate) -> str:
    return f"{e.value:.2f} [{e.low:.2f}, {e.high:.2f}]" if name == "transfer" else str(e)


def play(env: VecEnv, act: Act, episodes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns and lengths ``(episodes,)`` of ``act``. Lane i plays the episodes i, i + N, ...; equal seeds
    give every policy the same episodes. Raises ``ValueError`` unless the lanes divide ``episodes``."""
    lanes = env.num_envs
    if episodes % lanes:
        raise ValueError(f"{lanes} lanes do not divide {episodes} episodes")
    returns = np.zeros((episodes // lanes, lanes))
    lengths = np.zeros((episodes // lanes, lanes), int)
    finished = np.zeros(lanes, int)
    env.seed(seed)
    observations: Any = env.reset()
    while (finished < len(returns)).any():
        observations, rewards, dones, _ = env.step(act(observations))
        running = finished < len(returns)
        rows, columns = finished[running], np.flatnonzero(running)
        returns[rows, columns] += rewards[running]
        lengths[rows, columns] += 1
        finished += dones & running
    return returns.ravel(), lengths.ravel()


def evaluate(config: EvaluateConfig, agents: Sequence[Agent], say: Callable[[str], None] = print) -> Evaluation:
    """Plays random, every constant, and ``agents``, in the true world; returns the rows of the table.

    Raises ``ValueError`` where an agent was trained in another world, or on latents of another model than the
    one that its configuration names now.
    """
    spec = world_named(config.world)
    _check_agents(agents, spec.name)
    lanes = _lanes(config.episodes, config.max_lanes)
    truth = Place(spec.env_id, split=config.split)
    env = truth.make(lanes)
    try:
        actions = len(spec.world_actions)
        random = play(env, at_random(actions, config.seed), config.episodes, config.seed)
        say(f"random: {mean_return(random[0][None])}")
        best, constants = _best_constant(config)
        say(f"constants on the validation split: {constants}")
        constant = play(env, always(best), config.episodes, config.seed)
        say(f"best constant, {list(constants)[best]}: {mean_return(constant[0][None])}")
    finally:
        env.close()
    rows = [
        Row("random", "", "", 0, (config.seed,), random[0][None], random[1][None]),
        Row("best constant", "", "", 0, (), constant[0][None], constant[1][None]),
    ]
    for group in _alike(agents):
        rows.append(_play_group(config, group, say))
    return Evaluation(config, tuple(rows), constants)


def _play_group(config: EvaluateConfig, group: Sequence[Agent], say: Callable[[str], None]) -> Row:
    """One row: agents that were trained alike but for the seed."""
    first = group[0].config
    place = replace(first.place, kind="truth", split=config.split, time_limit=None)
    env = place.make(_lanes(config.episodes, config.max_lanes))
    try:
        played = [play(env, actor(a, config.deterministic), config.episodes, config.seed) for a in group]
    finally:
        env.close()
    dreamt = None
    if config.dream_episodes:
        env = replace(first.place, kind="dream", time_limit=None).make(_lanes(config.dream_episodes, config.max_lanes))
        try:
            dreamt = np.stack(
                [play(env, actor(a, config.deterministic), config.dream_episodes, config.seed)[0] for a in group]
            )
        finally:
            env.close()
    name = f"PPO in {'the dream' if first.place.kind == 'dream' else 'truth'}, {first.place.obs}"
    row = Row(
        name, first.place.kind, first.place.obs, group[0].steps_done, tuple(a.config.seed for a in group),
        np.stack([p[0] for p in played]), np.stack([p[1] for p in played]), dreamt,
        tuple(str(a.folder) for a in group),
    )  # fmt: skip
    say(f"{name}: {mean_return(row.returns)}, by seed {row.returns.mean(axis=1).round(1).tolist()}")
    return row


def at_random(actions: int, seed: int) -> Act:
    """Each of ``actions`` with equal chance."""
    rng = np.random.default_rng(seed)
    return lambda observations: rng.integers(actions, size=len(observations))


def always(action: int) -> Act:
    """The same action at every step."""
    return lambda observations: np.full(len(observations), action)


def actor(agent: Agent, deterministic: bool) -> Act:
    """The agent's policy; sampled actions are drawn from the training seed, so that runs repeat."""
    agent.ppo.set_random_seed(agent.config.seed)
    return lambda observations: agent.act(observations, deterministic)


def _best_constant(config: EvaluateConfig) -> tuple[int, dict[str, float]]:
    """The constant action with the highest mean return on validation episodes, and the mean of each."""
    from worldsim.actions import ACTION_MEANINGS

    spec = world_named(config.world)
    env = Place(spec.env_id, split="val").make(_lanes(config.constant_episodes, config.max_lanes))
    try:
        means = {
            ACTION_MEANINGS[identity]: float(play(env, always(action), config.constant_episodes, config.seed)[0].mean())
            for action, identity in enumerate(spec.world_actions)
        }
    finally:
        env.close()
    return int(np.argmax(list(means.values()))), means


def _lanes(episodes: int, most: int) -> int:
    """The most lanes, up to ``most``, that divide ``episodes``."""
    if episodes < 1:
        raise ValueError(f"{episodes} episodes were asked for; at least 1 is needed")
    return max(n for n in range(1, most + 1) if episodes % n == 0)


def _alike(agents: Sequence[Agent]) -> list[list[Agent]]:
    """Agents grouped by everything but the training seed, agents of the dream first."""
    groups: dict[str, list[Agent]] = {}
    for agent in sorted(agents, key=lambda a: (a.config.place.kind, a.config.seed)):
        key = json.dumps([asdict(replace(agent.config, seed=0)), agent.model_digest, agent.steps_done])
        groups.setdefault(key, []).append(agent)
    return list(groups.values())


def _check_agents(agents: Sequence[Agent], world: str) -> None:
    digests: dict[str | None, str] = {}
    for agent in agents:
        place = agent.config.place
        if world_named(place.world).name != world:
            raise ValueError(f"{agent.folder} was trained in {place.world}, not in {world}")
        if place.obs == "latent":
            if place.model not in digests:
                digests[place.model] = load_model(place.model, place.world).digest
            if digests[place.model] != agent.model_digest:
                raise ValueError(
                    f"{agent.folder} sees latents of model {agent.model_digest}, but model={place.model} is "
                    f"now {digests[place.model]}: its observations would mean something else. Train it again."
                )


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """Writes ``evaluation.json`` and ``table.md`` to the folder ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (
        ("evaluation.json", json.dumps(evaluation.as_json(), indent=1) + "\n"),
        ("table.md", evaluation.table() + "\n"),
    ):
        partial = out / f".{name}.{os.getpid()}"
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, out / name)


def load_agents(folders: Sequence[Path]) -> list[Agent]:
    """Loads agents from their folders (**pickles**: only those that you trained yourself)."""
    return [load_agent(folder) for folder in folders]
