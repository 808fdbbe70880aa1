"""The report: one HTML page that holds everything it shows, and ``leaderboard.json`` for machines.

Per sealed run: the verdict in words, the headline beside floors and ceilings, the tasks with their gate rates and
criteria, the suite's curves, and the worst and best clips beside the truth. A fidelity folder has curves and H* and no
headline. Nothing is loaded from elsewhere.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from worldsim_benchmarks.charts import chart
from worldsim_benchmarks.records import Folder, Row, plain, write_text
from worldsim_benchmarks.report import fidelity_lines
from worldsim_benchmarks.runner import RESULT, clip_path, load
from worldsim_benchmarks.suites.suite import CEILINGS, FLOORS, MODEL
from worldsim_benchmarks.tasks import Episode
from worldsim_benchmarks.verdict import verdict

STYLE = (Path(__file__).parent / "page.css").read_text()
SHOWN = 3
"""Worst and best clips of a suite."""
QUALITY = 70
"""Of the pictures, 1 to 100."""


def folders_in(paths: Sequence[Path]) -> list[Path]:
    """Run folders: those given, and the runs inside a given folder that is none itself. ``ValueError`` for none."""
    found: list[Path] = []
    for path in paths:
        inside = [path] if (path / "header.json").exists() else sorted(p.parent for p in path.glob("*/header.json"))
        if not inside:
            raise ValueError(f"{path} holds no benchmark run (header.json is missing)")
        found += inside
    return found


def write(paths: Sequence[Path], out: Path) -> list[dict[str, Any]]:
    """Writes ``report.html`` and ``leaderboard.json`` into ``out`` and returns the lines of the latter."""
    parts, board = [], []
    for path in folders_in(paths):
        if (path / RESULT).exists():
            result, rows = load(path)
            parts.append(_probe(path, result, rows))
            board += leaderboard(result)
        elif (path / "summary.json").exists():
            parts.append(_fidelity(path))
        elif Folder(path).has("speed"):
            parts.append(_speed(path))
        else:
            parts.append(f"<section><h2>{escape(path.name)}</h2><p>This run is not finished.</p></section>")
    board.sort(key=place)
    body = "\n".join([_contents(board), *parts])
    write_text(
        out / "report.html",
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>World simulator probes</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>",
    )
    write_text(out / "leaderboard.json", json.dumps(plain({"schema": 1, "lines": board}), indent=1, allow_nan=False))
    return board


def place(line: dict[str, Any]) -> tuple[str, str, float, str, str]:
    """Where a line stands in the leaderboard: by suite, world, and headline, the best first."""
    return line["suite"], line["world"], -line["headline"], line["name"], line["digest"]


def leaderboard(result: dict[str, Any]) -> list[dict[str, Any]]:
    """One line per candidate, floor and ceiling of a sealed result."""
    config = result["config"]
    out = []
    for name, score in result["score"]["candidates"].items():
        spec = config["candidates"].get(name)
        headline = score["headline"]
        out.append({
            "suite": result["suite"], "world": config["world"], "name": name, "env": spec["env"] if spec else name,
            "kwargs": spec["kwargs"] if spec else {}, "version": spec.get("version", "") if spec else "",
            "maps": config["preset"]["seeds"],
            "samples": config["preset"]["samples"], "headline": headline["value"], "low": headline["low"],
            "high": headline["high"], "tasks": {t: s["score"]["value"] for t, s in score["tasks"].items()},
            "digest": result["digest"],
        })  # fmt: skip
    return out


def _contents(board: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"<tr><td>{escape(b['suite'])}</td><td>{escape(_short(b['world']))}</td><td>{escape(_called(b))}</td>"
        f"<td class=n>{len(b['tasks'])}</td><td class=n>{_percent(b['headline'], b['low'], b['high'])}</td></tr>"
        for b in board
        if b["name"] not in (*FLOORS, *CEILINGS)
    ]
    table = (
        f"<table><tr><th>suite<th>world<th>environment<th>tasks<th>headline [95 %]</tr>{''.join(lines)}</table>"
        if lines
        else ""
    )
    return (
        "<h1>World simulator probes</h1><p>A headline is the mean over tasks of gate &times; correct: an episode "
        "counts only where the commanded motion was executed and the given context was continued. 100 % is what the "
        f"true world does; frozen, grey and other worlds score about 0.</p><div class=wide>{table}</div>"
    )


def _called(line: dict[str, Any]) -> str:
    """The environment of a line, with its name in the run where it is one of several."""
    return line["env"] if line["name"] in (MODEL, line["env"]) else f"{line['env']} ({line['name']})"


def _probe(path: Path, result: dict[str, Any], rows: Sequence[Row]) -> str:
    config, scores = result["config"], result["score"]["candidates"]
    measured = [n for n in scores if n not in (*FLOORS, *CEILINGS)] or ["true"]
    main = MODEL if MODEL in scores else measured[0]
    env = config["candidates"].get(main, {"env": main})["env"]
    bars = "".join(_bar(n, scores[n]["headline"], n == main) for n in _ordered(scores, main))
    tasks = "".join(_task_row(t, s, result["tasks"][t]) for t, s in scores[main]["tasks"].items())
    curves = "".join(f'<img alt="{escape(c["title"])}" src="{chart(c)}">' for c in result["score"]["curves"])
    run, seeds = result["run"], config["map_seeds"]
    where = f"{_short(config['world'])}, {len(result['tasks'])} task{'s' * (len(result['tasks']) > 1)}"
    return (
        f"<section><h2>{escape(result['suite'])}: {escape(env)} in {escape(where)}</h2>"
        f"<p class=verdict>{escape(verdict(result, rows, main))}</p><div class=bars>{bars}</div>"
        "<div class=wide><table><tr><th>task<th>score [95 %]<th>moved<th>continued<th>correct, given both"
        f"</tr>{tasks}</table></div><div class=curves>{curves}</div>{_clips(path, rows, main)}"
        f"<p class=small>Maps {seeds[0]} to {seeds[1]}, {config['preset']['samples']} sample(s), seed "
        f"{config['seed']}; {escape(run['time'])}, {escape(run['cpu'])}, {run['cores']} cores, commit "
        f"{escape(run['commit'] or 'unknown')}; digest {result['digest'][:12]}.</p></section>"
    )


def _fidelity(path: Path) -> str:
    summary = json.loads((path / "summary.json").read_text())
    Folder(path).header()
    rows = "".join(
        f"<tr><td>{escape(line.what)}</td><td class=n>{escape(line.value)}</td><td>{escape(line.target)}</td></tr>"
        for line in fidelity_lines(summary)
    )
    pictures = "".join(
        f"<h3>{title}</h3><img alt={name} src={_embedded(_read(path / f'{name}.png'))}>"
        for name, title in (("curves", "Agreement with the truth"), ("worst", "Worst clips"), ("best", "Best clips"))
        if (path / f"{name}.png").exists()
    )
    return (
        f"<section><h2>{escape(summary['suite'])} in {escape(_short(summary['config']['world']))}</h2><p>Curves "
        "against the horizon, no headline: one number of likeness would prefer blur to a sharp possible world.</p>"
        f"<div class=wide><table><tr><th>what<th>measured [95 %]<th>to reach</tr>{rows}</table></div>{pictures}"
        "</section>"
    )


def _speed(path: Path) -> str:
    folder = Folder(path)
    run = folder.header()["run"]
    rows = "".join(
        f"<tr><td>{escape(r['name'])}</td><td class=n>{r['batch']}</td><td class=n>{r['steps_per_second']:.1f}</td>"
        f"<td class=n>{r['lane_steps_per_second']:.1f}</td></tr>"
        for r in folder.read("speed")
        if "batch" in r
    )
    return (
        f"<section><h2>speed</h2><p>{escape(run['cpu'])}, {run['cores']} cores.</p><div class=wide><table><tr>"
        f"<th>what<th>lanes<th>steps/s<th>lane-steps/s</tr>{rows}</table></div></section>"
    )


def _clips(path: Path, rows: Sequence[Row], main: str) -> str:
    own = [r for r in rows if r["candidate"] == main and r["sample"] == 0]
    shown = [(r, clip_path(path, Episode(r["task"], r["map_seed"]))) for r in own]
    ranked = sorted(((r, p) for r, p in shown if p.exists()), key=lambda x: _rank(x[0]))
    if not ranked:
        return ""
    groups = (("Worst", _spread(ranked, SHOWN)), ("Best", _spread(ranked[::-1], SHOWN)))
    out = []
    for title, chosen in groups:
        figures = "".join(
            f"<figure><div class=wide>{_picture(p)}</div><figcaption>{escape(_caption(r))}</figcaption></figure>"
            for r, p in chosen
        )
        out.append(f"<h3>{title} clips <span class=small>(above: truth, below: candidate)</span></h3>{figures}")
    return "".join(out)


def _picture(path: Path) -> str:
    """The clip, every frame of every clip at the same size."""
    picture = _read(path)
    height, width = picture.shape[:2]
    size = f"width:{2 * width / height * 6:.0f}rem"
    return f'<img class=clip alt="{escape(path.stem)}" style="{size}" src="{_embedded(picture)}">'


def _spread(ranked: Iterable[tuple[Row, Path]], count: int) -> list[tuple[Row, Path]]:
    """The first of each task, ``count`` in all: one bad map should not fill the page."""
    first: dict[str, tuple[Row, Path]] = {}
    for row, path in ranked:
        first.setdefault(row["task"], (row, path))
    return list(first.values())[:count]


def _rank(row: Row) -> tuple[float, int, float]:
    content = row["measures"].get("content", row["measures"].get("own_content"))
    return row["score"], row["moved"] + row["continued"] + row["correct"], -9.0 if content is None else content


def _caption(row: Row) -> str:
    marks = ", ".join(f"{k}: {'yes' if row[k] else 'no'}" for k in ("moved", "continued", "correct"))
    shown = {
        k: v if isinstance(v, int) else f"{v:.3g}" for k, v in row["measures"].items() if isinstance(v, int | float)
    }
    numbers = ", ".join(f"{k} {v}" for k, v in shown.items())
    return f"{row['task']}, map {row['map_seed']} \u2013 {row['failed'] or marks}. {numbers}"


def _bar(name: str, headline: dict[str, Any], main: bool) -> str:
    value, low, high = (100 * (headline[k] or 0) for k in ("value", "low", "high"))
    kind = "main" if main else "floor" if name in FLOORS else "ceiling" if name in CEILINGS else "else"
    return (
        f"<div class=label>{escape(name)}</div><div class=track>"
        f"<div class='fill {kind}' style='width:{value:.1f}%'></div>"
        f"<div class=range style='left:{low:.1f}%;width:{high - low:.1f}%'></div></div>"
        f"<div class=n>{_percent(headline['value'], headline['low'], headline['high'])}</div>"
    )


def _task_row(name: str, score: dict[str, Any], criterion: str) -> str:
    cells = [_percent(*(score["score"][k] for k in ("value", "low", "high")))]
    cells += [_percent(score[k]["value"]) for k in ("moved", "continued", "given")]
    numbers = "".join(f"<td class=n>{c}</td>" for c in cells)
    return (
        f"<tr class=task><td>{escape(name)}</td>{numbers}</tr>"
        f"<tr><td colspan=5 class=small>Correct: {escape(criterion)}.</td></tr>"
    )


def _percent(value: float | None, low: float | None = None, high: float | None = None) -> str:
    if value is None:
        return "\u2013"
    span = "" if low is None or high is None else f" [{low:.0%}, {high:.0%}]"
    return f"{value:.0%}{span}"


def _ordered(scores: dict[str, Any], main: str) -> list[str]:
    rest = [n for n in scores if n != main and n not in (*FLOORS, *CEILINGS)]
    return [main, *(c for c in CEILINGS if c in scores and c != main), *rest, *(f for f in FLOORS if f in scores)]


def _short(world: str) -> str:
    return world.rpartition("/")[2].removesuffix("-v0")


def _embedded(picture: np.ndarray) -> str:
    """A picture as a data URL, compressed so that a page of many runs can be kept and sent."""
    _, data = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    return f"data:image/webp;base64,{base64.b64encode(data.tobytes()).decode()}"


def _read(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    if picture is None:
        raise ValueError(f"{path} is no picture any more; remove it to have a report without it")
    return picture
