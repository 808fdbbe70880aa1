"""What workers do in the tests: functions of a module that a fresh interpreter finds."""

from __future__ import annotations

import os
import time
from pathlib import Path


def told(name: str, times: int) -> int:
    """Says so many lines, the last without an end; their number."""
    for i in range(times):
        print(f"{name} {i}", end="\n" if i < times - 1 else "")
    return times


def threads() -> tuple[str | None, int]:
    import cv2

    return os.environ.get("OMP_NUM_THREADS"), cv2.getNumThreads()


def refused(why: str) -> None:
    raise ValueError(why)


def died() -> None:
    os._exit(3)


def process() -> int:
    return os.getpid()


def waited(folder: str, name: str) -> None:
    """Waits for long; leaves a file where it begins, and one where it could close what it held."""
    try:
        (Path(folder) / f"{name} begun").touch()
        time.sleep(300)
    finally:
        (Path(folder) / f"{name} closed").touch()
