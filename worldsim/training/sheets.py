"""Pictures that a run leaves behind: rows of frames in one PNG, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worldsim.video import enlarge, write_picture


def save_rows(path: Path, rows: Sequence[np.ndarray], scale: int = 2, gap: int = 2) -> None:
    """Writes uint8 rows ``(n, H, W, 3)``, one under the other, enlarged ``scale`` times without smoothing.

    Shorter rows are filled up with dark grey.
    """
    columns = max(len(row) for row in rows)
    height, width = rows[0].shape[1:3]
    sheet = np.full((len(rows) * (height + gap), columns * (width + gap), 3), 40, np.uint8)
    for i, row in enumerate(rows):
        for j, frame in enumerate(row):
            y, x = i * (height + gap), j * (width + gap)
            sheet[y : y + height, x : x + width] = frame
    write_picture(path, enlarge(sheet, scale))
