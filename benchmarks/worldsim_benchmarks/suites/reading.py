"""Are the commands read back from the pictures? A net names the command that led to each block, and is compared.

From a context of random play, truth and candidate play the same commands: the whole list of what the reader tells
apart, several times over, each time in a new order (``even``), so that no command weighs more in the F1 because chance
asked it seldom. The reader (``nets.actions``) names the command of each step from the block before and the block after;
what it cannot tell it leaves open. Reported is its F1 (a command that is left open is a miss), with the accuracy of the
answers and their share. Ceilings: the true frames, and the same through the candidate's codec. Floors: a frozen
picture, and ``action_shuffled``, the candidate's own frames of the other script read against this one's commands.
``other`` is no floor here: another map under the same commands shows the right motion. Worlds without a shipped reader
are not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from worldsim_benchmarks.candidates import Context
from worldsim_benchmarks.floors import still
from worldsim_benchmarks.nets.accuracy import rated
from worldsim_benchmarks.nets.actions import ActionReader, chains_of, macro_f1
from worldsim_benchmarks.nets.corpus import wander
from worldsim_benchmarks.nets.shipped import reader_of
from worldsim_benchmarks.records import Row
from worldsim_benchmarks.scripts import Script
from worldsim_benchmarks.statistics import cluster_statistic
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.truth import Rollout

PART = "reading"
TRUTH, CODEC, SHUFFLED = "truth", "codec", "action_shuffled"
FLOORS = ("frozen", SHUFFLED)
PREFIX = 8
"""Steps of context."""
HOLDS = 4
"""Steps of a script, about, for each step that ``control`` holds a command, half of them in a brief run; ``even`` takes
whole rounds."""


def even(commands: Sequence[str], steps: int, seed: int) -> tuple[str, ...]:
    """As many rounds of all ``commands`` as come nearest to ``steps``, at least one, each round in an order of its own:
    every command is there equally often."""
    rng = np.random.default_rng((seed, 23))
    rounds = max(1, round(steps / len(commands)))
    return tuple(commands[i] for _ in range(rounds) for i in rng.permutation(len(commands)))


def scripts(commands: Sequence[str], steps: int, seed: int) -> tuple[Script, Script]:
    """Two scripts of the same commands in other orders, after one context of random play."""
    prefix = wander(commands, PREFIX, seed)
    first, second = (Script(f"even_{i}", "control", prefix, even(commands, steps, seed + 1 + i)) for i in range(2))
    return first, second


def run(session: Session, reader: ActionReader | None = None) -> list[Row]:
    """One row per script, map and candidate: what was told and what was read at each step; none where the world has no
    reader (default: the shipped one). A map whose true episode ends within the context is left out, and a row says so;
    ``ValueError`` where all do."""
    reader = reader_of(session.world) if reader is None else reader
    if reader is None:
        return []
    candidates = {n: session.open(n, session.preset.seeds) for n in session.candidates}
    steps = HOLDS * session.preset.hold // (2 if session.brief(PART) else 1)
    pair = scripts(reader.commands, steps, session.seed)
    rows: list[Row] = []
    try:
        with session.reference(depth=False) as reference:
            for index, script in enumerate(pair):
                names = (*script.prefix, *script.actions)
                truth, ended = outlasting([reference.play(names, seed, PREFIX) for seed in session.map_seeds], script)
                rows += ended
                other = pair[1 - index]
                for rollout in truth:
                    rows.append(_row(reader, TRUTH, script, rollout, rollout.blocks[PREFIX:]))
                    rows.append(_row(reader, "frozen", script, rollout, still(rollout)["frozen"]))
                for position, (name, candidate) in enumerate(candidates.items()):
                    for sample in range(session.preset.samples):
                        made = candidate.go_on(
                            [Context.of(r) for r in truth], [script.actions] * len(truth),
                            session.episode_seeds(len(truth), 8, index, sample),
                        )  # fmt: skip
                        for rollout, blocks in zip(truth, made.blocks):
                            rows.append(_row(reader, name, script, rollout, blocks))
                            if position == 0:
                                rows.append(_row(reader, SHUFFLED, other, rollout, blocks))
                    for rollout in truth if position == 0 else ():
                        coded = candidate.reconstruct(rollout.blocks[PREFIX - 1 :])
                        if coded is not None:
                            rows.append(_row(reader, CODEC, script, rollout, coded[1:], coded[0]))
    finally:
        for candidate in candidates.values():
            candidate.close()
    return rows


def outlasting(rollouts: Sequence[Rollout], script: Script) -> tuple[list[Rollout], list[Row]]:
    """The rollouts that go on after the context, and a row with the reason, ``skipped``, for each of the others.
    ``ValueError`` where none goes on."""
    lasting = [r for r in rollouts if r.length > PREFIX]
    skipped: list[Row] = [
        {
            "candidate": TRUTH, "script": script.name, "map_seed": r.map_seed, "told": [], "read": [],
            "skipped": f"the true episode ends after {r.length} steps, within the context of {PREFIX}",
        }
        for r in rollouts
        if r.length <= PREFIX
    ]  # fmt: skip
    if not lasting:
        raise ValueError(f"{script.name}: on no map does the true episode outlast the context of {PREFIX} steps")
    return lasting, skipped


def _row(
    reader: ActionReader,
    name: str,
    script: Script,
    rollout: Rollout,
    blocks: np.ndarray,
    before: np.ndarray | None = None,
) -> Row:
    """``blocks`` uint8 ``(T, k, H, W, 3)`` follow the block ``before`` (default: the last of the true context)."""
    before = rollout.blocks[PREFIX - 1] if before is None else before
    steps = slice(0, rollout.length - PREFIX)  # what is commanded after a true end shows nothing
    read = reader(chains_of(before, blocks)[steps]).answers
    told = reader.encode(script.actions[steps])
    return {
        "candidate": name, "script": script.name, "map_seed": rollout.map_seed,
        "told": [reader.classes[c] for c in told],
        "read": [reader.classes[c] if c >= 0 else None for c in read],
    }  # fmt: skip


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """F1, accuracy and coverage of every candidate, how far the model lies above each floor, and, by ``skipped``, the
    maps that were left out, with the reason."""
    skipped = [f"map {r['map_seed']}, {r['script']}: {r['skipped']}" for r in rows if "skipped" in r]
    rows = [r for r in rows if "skipped" not in r]
    names = list(dict.fromkeys(r["candidate"] for r in rows))
    classes = tuple(sorted({c for r in rows for c in (*r["told"], *r["read"]) if c is not None}))
    columns = {n: _columns([r for r in rows if r["candidate"] == n], classes) for n in names}
    out: dict[str, Any] = {n: rated(*columns[n], classes) for n in names}
    if "model" in out:
        out["model"]["above"] = {
            floor: _gap(columns["model"], columns[floor], len(classes)) for floor in FLOORS if floor in out
        }
        if CODEC in out:
            out["model"]["below_codec"] = _gap(columns[CODEC], columns["model"], len(classes))
    return {**out, "skipped": skipped} if skipped else out


def right_of(rows: Sequence[Row]) -> dict[str, dict[tuple[str, int], float]]:
    """candidate -> (script, map) -> share of the commands that are read right; what is left open is not."""
    gathered: dict[str, dict[tuple[str, int], list[bool]]] = {}
    for row in (r for r in rows if "skipped" not in r):
        key = (row["script"], row["map_seed"])
        hits = [told == read for told, read in zip(row["told"], row["read"])]
        gathered.setdefault(row["candidate"], {}).setdefault(key, []).extend(hits)
    return {name: {key: float(np.mean(hits)) for key, hits in by.items()} for name, by in gathered.items()}


def _columns(rows: Sequence[Row], classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Told and read classes (-1: left open) of all steps, and their maps."""
    code: dict[str | None, int] = {None: -1, **{name: c for c, name in enumerate(classes)}}
    told, read = (np.array([code[c] for r in rows for c in r[kind]]) for kind in ("told", "read"))
    return told, read, np.array([r["map_seed"] for r in rows for _ in r["told"]])


def _gap(
    of: tuple[np.ndarray, np.ndarray, np.ndarray], floor: tuple[np.ndarray, np.ndarray, np.ndarray], classes: int
) -> dict[str, Any]:
    """F1 minus that of ``floor``, resampled together by map."""
    told, read, maps = (np.concatenate(parts) for parts in zip(of, floor))
    mine = np.arange(len(told)) < len(of[0])

    def difference(rows: np.ndarray) -> float:
        own = rows[:, 2] == 1
        mean = [macro_f1(rows[who, 0], rows[who, 1], classes) for who in (own, ~own)]
        return mean[0] - mean[1]

    return cluster_statistic(difference, np.stack([told, read, mine], 1), maps).as_dict()
