"""Results that ship with the project: rows of finished runs, what was measured in them, and the page made of them.

A figure in a table can be believed when its rows can be read. ``publish`` copies the rows and results of sealed runs
(no clips: those are in the page) into one folder, with an index that names suite, world, amount, candidates, the
digest of the weights, and the SHA-256 of every file. ``verify`` reads such a folder as a stranger would: every file
must be the one that the index names, every result must fit its rows, and the score and the leaderboard are computed
anew from the rows. Fidelity and speed have no headline; their summary or rows are copied as they are.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from worldsim_benchmarks import page
from worldsim_benchmarks.presets import Preset
from worldsim_benchmarks.records import Folder, plain, write_text
from worldsim_benchmarks.runner import RESULT, ROWS, load
from worldsim_benchmarks.suites.registry import PROBES, suite_named
from worldsim_benchmarks.suites.session import CandidateSpec, Session
from worldsim_benchmarks.suites.suite import MODEL

INDEX, BOARD, PAGE = "index.json", "leaderboard.json", "report.html"
SCHEMA = 1
LARGEST = 2_500_000
"""Bytes of a page that is kept: one that is larger is written, but not indexed, and said to be left out."""


def publish(runs: Sequence[Path], out: Path, weights: str = "") -> dict[str, Any]:
    """Writes the published form of finished runs to ``out``, which it empties of what an earlier call left, and returns
    the index.

    ``runs`` are run folders, or folders of several; ``weights`` is the digest of the measured weights for runs whose
    own records do not say it. A run of nothing but tasks that a run of its size leaves out is published beside that
    one, as ``<suite>-<world>-more``. Raises ``ValueError`` where a run is not finished or was changed, and where two
    are of the same suite, world and kind.
    """
    folders = page.folders_in(runs)
    entries: dict[str, dict[str, Any]] = {}
    for folder in folders:
        name, entry = _entry(folder, weights)
        if name in entries:
            raise ValueError(f"{folder} and {entries[name]['source']} are both runs of {name}; give one of them")
        entries[name] = {**entry, "source": folder}
    for old in _published(out):
        shutil.rmtree(out / old)
    listed = []
    for name, entry in sorted(entries.items()):
        source = entry.pop("source")
        for file in entry["files"]:
            target = out / name / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / file, target)
        listed.append({"folder": name, **entry, "files": {f: sha256(out / name / f) for f in entry["files"]}})
    page.write(folders, out)
    files = [BOARD, *([PAGE] if (out / PAGE).stat().st_size <= LARGEST else [])]
    index = {"schema": SCHEMA, "runs": listed, "files": {file: sha256(out / file) for file in files}}
    write_text(out / INDEX, json.dumps(index, indent=1) + "\n")
    return index


def verify(out: Path) -> dict[str, Any]:
    """The index of a published folder whose every file and figure holds; ``ValueError`` names the first that does
    not."""
    index = read_index(out)
    lines: list[dict[str, Any]] = []
    for entry in index["runs"]:
        folder = out / entry["folder"]
        for file, digest in entry["files"].items():
            _same(folder / file, digest)
        if RESULT not in entry["files"]:
            continue
        result, rows = load(folder)
        scores = plain({n: asdict(s) for n, s in suite_named(result["suite"]).score(rows).candidates.items()})
        if scores != result["score"]["candidates"]:
            raise ValueError(f"{folder}: the score in {RESULT} is not what its rows give; run the suite again")
        lines += page.leaderboard(result)
    for file, digest in index["files"].items():
        _same(out / file, digest)
    lines.sort(key=page.place)
    if board(out) != plain(lines):
        raise ValueError(f"{out / BOARD} is not what the rows give")
    return index


def board(out: Path) -> list[dict[str, Any]]:
    """The lines of a published leaderboard."""
    lines: list[dict[str, Any]] = json.loads((out / BOARD).read_text())["lines"]
    return lines


def read_index(out: Path) -> dict[str, Any]:
    """The index of a published folder; ``ValueError`` where there is none, or one of a newer schema."""
    if not (out / INDEX).exists():
        raise ValueError(f"{out} holds no published results ({INDEX} is missing)")
    index: dict[str, Any] = json.loads((out / INDEX).read_text())
    if index.get("schema", 0) > SCHEMA:
        raise ValueError(f"{out} has schema {index['schema']}; this version reads up to {SCHEMA}: update worldsim")
    return index


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _entry(folder: Path, weights: str) -> tuple[str, dict[str, Any]]:
    """Name under which a run is published, and what the index says of it."""
    header = Folder(folder).header()
    config, suite = header["config"], header["suite"]
    if (folder / RESULT).exists():
        load(folder)
        files = ["header.json", RESULT, ROWS]
    elif (folder / "summary.json").exists():
        files = ["header.json", "summary.json"]
    elif Folder(folder).has("speed"):
        files = ["header.json", "rows/speed.jsonl"]
    else:
        raise ValueError(f"{folder} holds no finished run; run the suite to its end")
    candidates = config.get("candidates", {})
    versions = {name: spec.get("version", "") for name, spec in candidates.items()}
    if MODEL in candidates and not versions[MODEL]:
        versions[MODEL] = weights
    learned = MODEL in candidates or not candidates  # speed names no candidates
    world = str(config.get("world", "")).rpartition("/")[2].removesuffix("-v0")
    kind = "" if learned else "mutants"
    name = "-".join(part for part in (suite, world, "more" if _left_out(suite, config) else "", kind) if part)
    return name, {
        "suite": suite, "world": world, "maps": config.get("preset", {}).get("seeds"),
        "samples": config.get("preset", {}).get("samples"), "candidates": list(candidates),
        "weights": {n: v for n, v in versions.items() if v} if candidates else ({MODEL: weights} if weights else {}),
        "time": header["run"]["time"], "commit": header["run"]["commit"], "cpu": header["run"]["cpu"],
        "cores": header["run"]["cores"], "files": files,
    }  # fmt: skip


def _left_out(suite: str, config: dict[str, Any]) -> bool:
    """Whether a run asked nothing but what a run of its size leaves out unless it is named: it stands beside that."""
    if suite not in PROBES or "tasks" not in config:
        return False
    candidates = {name: CandidateSpec(**spec) for name, spec in config["candidates"].items()}
    session = Session(config["world"], candidates, Preset(**config["preset"]), Path())
    usual = {e.task for e in PROBES[suite].episodes(session)}
    return bool(usual) and not usual & set(config["tasks"])


def _published(out: Path) -> list[str]:
    """Folders that an earlier ``publish`` left."""
    if not (out / INDEX).exists():
        return []
    return [e["folder"] for e in read_index(out)["runs"] if (out / e["folder"]).is_dir()]


def _same(path: Path, digest: str) -> None:
    if not path.exists():
        raise ValueError(f"{path} was published and is missing")
    if sha256(path) != digest:
        raise ValueError(f"{path} is not the file that was published: its SHA-256 differs")
