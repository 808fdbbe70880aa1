"""The picture that the client draws, read from the memory of its display.

Xvfb keeps its screen in a file in the XWD format, which is mapped here: a frame costs a copy and no conversation. The
mod shows a small mark in the last rows of the screen, whose colour says which of its answers the client has drawn.
Since a frame is copied to the screen from its top to its bottom, what stands above a mark is at least as new as it.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

MARK_SIZE = 8
"""Pixels of a mark, in the lower right corner of the screen."""
MARGIN = MARK_SIZE + 2
"""Rows above and below the picture that are not shown: the mark's, and as many on top so that the middle stays."""
LEVELS = (30, 95, 160, 225)
VIEW, ASPECT = 70.0, 4 / 3
"""The lens: a screen of 4:3 that sees 70 degrees from top to bottom, of which frames are the largest centre part."""
FINEST = 128
"""Rows or columns below which frames are drawn at a multiple of their size and averaged, so that edges are smooth."""


def mark_colours() -> list[tuple[int, int, int]]:
    """The colours of the 64 marks, far enough from each other to be told apart in any rounding."""
    return [(LEVELS[i // 16], LEVELS[i // 4 % 4], LEVELS[i % 4]) for i in range(len(LEVELS) ** 3)]


@dataclass(frozen=True)
class Window:
    """How large the client's window is for frames of ``height`` x ``width``, and how it sees them."""

    height: int
    width: int

    @property
    def scale(self) -> int:
        """Rendered pixels per pixel of a frame, along each side."""
        return max(1, -(-FINEST // min(self.height, self.width)))

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the window."""
        return self.height * self.scale + 2 * MARGIN, self.width * self.scale

    @property
    def focal(self) -> float:
        """Focal length in pixels of the frame."""
        up = np.tan(np.radians(VIEW / 2))
        return float(max(self.height / 2 / up, self.width / 2 / (up * ASPECT)))

    @property
    def fov(self) -> float:
        """What the engine must be told, in degrees. It takes the view from top to bottom of the window, and widens it
        itself where the window is narrower than 16:10."""
        rows, columns = self.size
        wanted = np.degrees(2 * np.arctan(rows / 2 / (self.focal * self.scale)))
        return float(wanted / min(max(np.sqrt(1.6 / (columns / rows)), 1.0), 1.4))

    @property
    def K(self) -> np.ndarray:
        """float64 ``(3, 3)``, pixels of the frame."""
        return np.array([[self.focal, 0, self.width / 2], [0, self.focal, self.height / 2], [0, 0, 1.0]])


class Screen:
    """The screen of an Xvfb that keeps it in ``file``, and on it a ``window`` at its upper left."""

    def __init__(self, file: Path, window: Window) -> None:
        with file.open("rb") as opened:
            self._memory = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        header = struct.unpack(">25I", self._memory[:100])
        start, columns, rows, stride, colours = (
            header[0] + 12 * header[19],
            header[4],
            header[5],
            header[12],
            header[11],
        )
        if colours != 32 or (rows, columns) != window.size:
            raise RuntimeError(f"{file}: a screen of {rows} x {columns} at {colours} bits; needed: {window.size} at 32")
        flat = np.frombuffer(self._memory, np.uint8, rows * stride, start)
        self._pixels = flat.reshape(rows, stride // 4, 4)[:, :columns, 2::-1]
        self._marks = np.array(mark_colours())
        self._window = window

    def mark(self) -> int:
        """Number of the mark that is shown now, -1 for none."""
        gaps = np.abs(self._marks - self._pixels[-2, -2].astype(int)).max(1)
        return int(gaps.argmin()) if gaps.min() < 16 else -1

    def frame(self) -> np.ndarray:
        """uint8 ``(height, width, 3)``."""
        window = self._window
        picture = np.ascontiguousarray(self._pixels[MARGIN:-MARGIN])
        if window.scale == 1:
            return picture
        return cv2.resize(picture, (window.width, window.height), interpolation=cv2.INTER_AREA)
