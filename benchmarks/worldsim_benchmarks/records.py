"""What a run leaves in its folder: rows as JSONL, one file per part, and a header that says what was run.

A part's file is written whole (to a temporary name, then renamed), so that a run that was killed goes on
with the parts that are missing, and ``score`` reads a folder without running the model. Rows carry no
wall-clock times: the same seed twice gives the same rows. What differs between runs stands in the ``run``
block of the header.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from worldsim_benchmarks import SCHEMA_VERSION

Row = dict[str, Any]


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: numpy to Python, floats to 6 digits, NaN and infinities to None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def floats(values: Iterable[float | None]) -> np.ndarray:
    """Numbers of a row as float array, None as NaN."""
    return np.array([np.nan if v is None else v for v in values], float)


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def run_block() -> dict[str, Any]:
    """Time, host and versions of this run."""
    try:
        asked = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=Path(__file__).parent,
            capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
        commit = asked.stdout.strip() if asked.returncode == 0 else ""
    except (OSError, subprocess.TimeoutExpired):  # no git: an installed package has no commit
        commit = ""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    versions = {}
    for package in ("numpy", "gymnasium", "torch", "opencv-python-headless", "vizdoom"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit, "cpu": cpu,
        "cores": os.cpu_count(), "python": platform.python_version(), "platform": platform.platform(),
        "versions": versions,
    }  # fmt: skip


class Folder:
    """A run's folder: ``header.json``, ``rows/<part>.jsonl``, ``summary.json`` and pictures."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: str | Path, suite: str, config: dict[str, Any]) -> Folder:
        """Opens a folder for writing; one that was begun with the same configuration is continued.

        Raises ``ValueError`` where the folder holds a run of another configuration or schema.
        """
        folder = cls(path)
        config = plain(config)
        header = {"schema": SCHEMA_VERSION, "suite": suite, "config": config, "run": run_block()}
        if (folder.path / "header.json").exists():
            begun = folder.header()
            if begun.get("schema") != SCHEMA_VERSION:
                raise ValueError(
                    f"{folder.path} was begun with schema {begun.get('schema')}, this version writes {SCHEMA_VERSION}; "
                    "give --out another folder, or remove this one"
                )
            if begun["suite"] != suite or begun["config"] != config:
                raise ValueError(
                    f"{folder.path} holds a {begun['suite']} run of another configuration "
                    f"({begun['config']}); "
                    "give --out another folder, or remove this one"
                )
        write_text(folder.path / "header.json", json.dumps(header, indent=1))
        return folder

    def header(self) -> dict[str, Any]:
        """The header; ``ValueError`` where there is none, or a newer schema."""
        path = self.path / "header.json"
        if not path.exists():
            raise ValueError(f"{self.path} holds no benchmark run (header.json is missing)")
        header: dict[str, Any] = json.loads(path.read_text())
        if header.get("schema", 0) > SCHEMA_VERSION:
            raise ValueError(
                f"{self.path} was written with schema {header['schema']}; this version reads up to "
                f"{SCHEMA_VERSION}: update worldsim"
            )
        return header

    def has(self, part: str) -> bool:
        return (self.path / "rows" / f"{part}.jsonl").exists()

    def write(self, part: str, rows: list[Row]) -> None:
        text = "".join(json.dumps(plain(row), allow_nan=False) + "\n" for row in rows)
        write_text(self.path / "rows" / f"{part}.jsonl", text)

    def read(self, part: str) -> list[Row]:
        path = self.path / "rows" / f"{part}.jsonl"
        try:
            return [json.loads(line) for line in path.read_text().splitlines()]
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is damaged ({error}); remove it and run the benchmark again") from error

    def parts(self) -> list[str]:
        return sorted(p.stem for p in (self.path / "rows").glob("*.jsonl"))

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_text(self.path / "summary.json", json.dumps(plain(summary), indent=1, allow_nan=False))
