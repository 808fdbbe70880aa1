"""Runs a probe suite into a folder, episode by episode, and seals what came out.

Each episode's rows are written whole as soon as the batch that it ran in is judged, so an interrupted run goes on and
loses one batch at most. When all are there, ``seal`` gathers them into ``rows.jsonl`` and writes ``result.json``:
configuration, score, and a digest over both, which ``compare`` checks. Only its ``run`` block (time, host, commit)
differs between two runs of one seed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worldsim_benchmarks.pictures import save_clip
from worldsim_benchmarks.records import Folder, Row, plain, write_text
from worldsim_benchmarks.suites.session import Session
from worldsim_benchmarks.suites.suite import Suite
from worldsim_benchmarks.tasks import Episode

RESULT = "result.json"
ROWS = "rows.jsonl"
SHOWN_SEEDS = 50
"""Clips are kept of the first sample on so many maps."""


def configuration(session: Session) -> dict[str, Any]:
    """What decides the rows, for the header."""
    return {
        "world": session.world,
        "candidates": {n: asdict(s) for n, s in session.candidates.items()},
        "preset": asdict(session.preset),
        "frame_size": session.frame_size,
        "bottom": session.bottom,
        "seed": session.seed,
        "event_worlds": session.event_worlds,
        "map_seeds": [session.map_seeds[0], session.map_seeds[-1]],
    }


def run(
    suite: Suite, session: Session, say: Callable[[str], None] = print, tasks: Sequence[str] | None = None
) -> Folder:
    """Runs the episodes (of some ``tasks``, or all) that ``session.out`` does not hold yet, and seals the folder.

    ``ValueError`` where the folder holds a run of another configuration, or the world can be asked nothing.
    """
    missing = begin(suite, session, say, tasks)
    fill(suite, session, missing, say)
    folder = Folder(session.out)
    seal(folder, suite)
    return folder


def begin(
    suite: Suite, session: Session, say: Callable[[str], None] = print, tasks: Sequence[str] | None = None
) -> list[Episode]:
    """Makes the folder of a run, or opens it again, and says which of its episodes are missing."""
    episodes = [e for e in suite.episodes(session) if tasks is None or e.task in tasks]
    if not episodes:
        able = sorted({w for task in suite.tasks for w in task.worlds})
        raise ValueError(f"{suite.name} asks nothing of {session.world}; it can be run on {', '.join(able)}")
    asked = {"tasks": list(dict.fromkeys(e.task for e in episodes)), "episodes": len(episodes)}
    folder = Folder.create(session.out, suite.name, {**configuration(session), **asked})
    missing = [e for e in episodes if not folder.has(part_of(e))]
    if len(missing) < len(episodes):
        say(f"{suite.name}: {len(episodes) - len(missing)} of {len(episodes)} episodes are already there")
    return missing


def fill(suite: Suite, session: Session, missing: Sequence[Episode], say: Callable[[str], None] = print) -> None:
    """Runs these episodes into the session's folder, which was begun; several processes may, each some of them."""
    folder, shown = Folder(session.out), set(session.map_seeds[:SHOWN_SEEDS])
    for result in suite.run(session, missing) if missing else ():
        if result.clip is not None and result.episode.sample == 0 and result.episode.map_seed in shown:
            save_clip(result.clip, clip_path(folder.path, result.episode))
        folder.write(part_of(result.episode), [o.row(result.episode) for o in result.outcomes])
        for outcome in result.outcomes:
            if outcome.failed:
                say(f"{part_of(result.episode)}: {outcome.candidate} failed and scores 0: {outcome.failed}")


def shared_out(suite: Suite, missing: Sequence[Episode], hands: int) -> list[list[Episode]]:
    """The missing episodes in up to ``hands`` lots that can be filled apart. A task stays whole, since its episodes are
    run in one batch; so do tasks about one kind of text, which share what reads them."""
    kinds = {task.name: task.text or task.name for task in suite.tasks}
    whole: dict[str, list[Episode]] = {}
    for episode in missing:
        whole.setdefault(kinds[episode.task], []).append(episode)
    lots = [[e for episodes in list(whole.values())[i::hands] for e in episodes] for i in range(hands)]
    return [lot for lot in lots if lot]


def part_of(episode: Episode) -> str:
    """Name of an episode's file of rows."""
    return f"{episode.task}-{episode.map_seed}-{episode.sample}"


def clip_path(folder: Path, episode: Episode) -> Path:
    return folder / "clips" / f"{part_of(episode)}.webp"


def seal(folder: Folder, suite: Suite) -> dict[str, Any]:
    """Gathers the rows of the folder's episodes, scores them, and writes both with a digest; ``ValueError`` where
    episodes are missing."""
    header, parts = folder.header(), folder.parts()
    if len(parts) != header["config"]["episodes"]:
        raise ValueError(
            f"{folder.path} holds {len(parts)} of {header['config']['episodes']} episodes; run the same command again, "
            "it goes on"
        )
    rows = sorted((row for part in parts for row in folder.read(part)), key=_order)
    write_text(folder.path / ROWS, "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
    score = plain(asdict(suite.score(rows)))
    result = {
        "schema": header["schema"], "suite": header["suite"], "config": header["config"],
        "tasks": {t.name: t.criterion for t in suite.tasks if t.name in header["config"]["tasks"]},
        "score": score,
    }  # fmt: skip
    sealed = {**result, "digest": digest(result, rows), "run": header["run"]}
    write_text(folder.path / RESULT, json.dumps(sealed, indent=1, allow_nan=False))
    return sealed


def _order(row: Row) -> tuple[str, int, int, str]:
    return row["task"], row["map_seed"], row["sample"], row["candidate"]


def digest(result: dict[str, Any], rows: list[Row]) -> str:
    """SHA-256 over what was measured: the result without its ``digest`` and ``run``, and the rows."""
    measured = {k: v for k, v in result.items() if k not in ("digest", "run")}
    text = json.dumps([measured, rows], sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def load(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """The result and the rows of a sealed folder; ``ValueError`` where there is none or its digest does not hold."""
    if not (path / RESULT).exists():
        raise ValueError(f"{path} holds no finished run ({RESULT} is missing); run the suite to its end")
    Folder(path).header()  # refuses a newer schema
    try:
        result = json.loads((path / RESULT).read_text())
        rows = [json.loads(line) for line in (path / ROWS).read_text().splitlines()]
    except (json.JSONDecodeError, FileNotFoundError) as error:
        raise ValueError(f"{path} is damaged ({error}); run the suite again") from error
    if result.get("digest") != digest(result, rows):
        raise ValueError(f"{path} was changed after it was written: its digest does not fit {RESULT} and {ROWS}")
    return result, rows
