"""The fidelity suite: all parts in turn into one folder, and the summary from its rows.

A run that was interrupted goes on with the parts that are missing. ``score`` reads rows only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worldsim_benchmarks.pictures import Clip, curves, extremes, sheet
from worldsim_benchmarks.records import Folder, Row
from worldsim_benchmarks.runner import configuration
from worldsim_benchmarks.suites import control, events, free, minute, onestep, prompts, reading
from worldsim_benchmarks.suites.session import Session

SUITE = "fidelity"
PARTS = ("free", "onestep", "control", "reading", "events", "prompts", "minute")
THOROUGH = ("minute",)
"""Parts that brief runs leave out unless they are named. The others ask less there, unless they are."""
SUMMARIES: dict[str, Callable[[list[Row]], dict[str, Any]]] = {
    "free": free.summarise,
    "onestep": onestep.summarise,
    "control": control.summarise,
    "reading": reading.summarise,
    "events": events.summarise,
    "prompts": prompts.summarise,
    "minute": minute.summarise,
}


def usual(session: Session) -> tuple[str, ...]:
    """The parts of a run that names none."""
    return tuple(part for part in PARTS if not session.preset.brief or part not in THOROUGH)


def run(session: Session, parts: tuple[str, ...], say: Callable[[str], None] = print) -> Folder:
    """Runs the parts that the folder does not hold yet; ``ValueError`` for a part that does not exist."""
    begin(session, parts)
    fill(session, parts, say)
    return Folder(session.out)


def begin(session: Session, parts: tuple[str, ...]) -> None:
    """Makes the folder of a run, or opens it again."""
    unknown = [p for p in parts if p not in PARTS]
    if unknown:
        raise ValueError(f"unknown part {', '.join(unknown)}; the fidelity suite has {', '.join(PARTS)}")
    in_full = {"in_full": True} if session.preset.brief and session.named else {}  # not to be mixed with what is brief
    Folder.create(session.out, SUITE, configuration(session) | in_full)


def fill(
    session: Session, parts: tuple[str, ...], say: Callable[[str], None] = print, beside: Path | None = None
) -> None:
    """Runs these parts into the session's folder, which was begun; several processes may, each some of them. Parts that
    a run of the same configuration has in the folder ``beside`` are taken from there."""
    folder = Folder(session.out)
    for part in parts:
        if folder.has(part):
            say(f"{part}: already there")
        elif beside is not None and _same(folder, Folder(beside)) and Folder(beside).has(part):
            folder.write(part, Folder(beside).read(part))
            say(f"{part}: as in {beside}")
        else:
            begun = time.perf_counter()
            rows = _run_part(part, session)
            folder.write(part, rows)
            say(f"{part}: {len(rows)} rows in {time.perf_counter() - begun:.0f} s")


def _same(one: Folder, other: Folder) -> bool:
    """Whether ``other`` is a run of the same configuration."""
    if not (other.path / "header.json").exists():
        return False
    mine, theirs = one.header(), other.header()
    return all(mine[key] == theirs[key] for key in ("schema", "suite", "config"))


def _run_part(part: str, session: Session) -> list[Row]:
    if part == "free":
        rows, clips = free.run(session)
        worst, best = extremes(clips)
        sheet(worst, session.out / "worst.png")
        sheet(best, session.out / "best.png")
        explored = [c for c in clips if not c.known]
        sheet(explored[:4], session.out / "explore.png")
    elif part == "minute":
        rows, clips = minute.run(session)
        sheet(clips[:8], session.out / "minute.png", steps=range(len(clips[0].truth)))
    elif part == "prompts":
        rows, clips = prompts.run(session)
        _prompt_sheet(clips, session.out / "prompts.png")
    else:
        plain_parts: dict[str, Callable[[Session], list[Row]]] = {
            "onestep": onestep.run, "control": control.run, "reading": reading.run, "events": events.run,
        }  # fmt: skip
        rows = plain_parts[part](session)
    return rows


def _prompt_sheet(clips: list[Clip], path: Path) -> None:
    """The pictures of the first prompts; above and below are the same picture."""
    sheet(clips[:6] + clips[len(clips) // 2 : len(clips) // 2 + 6], path, steps=(0,))


def score(folder: Folder) -> dict[str, Any]:
    """Summary of the rows of a folder, written to it with the curves; the model is not run."""
    header = folder.header()
    summary: dict[str, Any] = {
        "schema": header["schema"],
        "suite": SUITE,
        "config": header["config"],
        "parts": {},
    }
    for part in PARTS:
        if folder.has(part):
            summary["parts"][part] = SUMMARIES[part](folder.read(part))
    folder.write_summary(summary)
    if "free" in summary["parts"]:
        curves(summary["parts"]["free"], folder.path / "curves.png")
    return summary
