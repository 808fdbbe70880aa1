"""What a captioner sees of a recording: three frames for each observation, read without decoding the others.

An observation is seen with the step that led to it: the frame before the step, the one in its middle, and the
observation itself. So an event that is over within the step (a door opens, a shot) is in sight, and what stands still
is seen at rest. At the beginning of an episode there is only the first frame, three times.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worldsim.recording.columns import IMAGE
from worldsim.recording.images import decode_png
from worldsim.recording.reader import Recording


def glimpse_rows(observations: Sequence[int] | np.ndarray, k: int) -> np.ndarray:
    """Rows ``(N, 3)`` of the frames that show each of the ``observations`` of an episode with ``k`` frames a step."""
    last = k * np.asarray(observations, np.int64)
    first = np.maximum(last - k, 0)
    return np.stack([first, np.minimum(first + (k + 1) // 2, last), last], axis=1)


def read_glimpses(
    recording: Recording, number: int, observations: Sequence[int] | np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Frames uint8 ``(N, 3, H, W, 3)`` and facts (JSON lines) of ``observations`` of episode ``number``.

    Raises ``IndexError`` for an observation that there is not, ``RecordingError`` where the episode cannot be read.
    """
    entry = recording.entries[number]
    rows = glimpse_rows(observations, entry.frames_per_step)
    if rows.size and not 0 <= rows.min() <= rows.max() < entry.length:
        raise IndexError(f"episode {number} has observations 0 to {entry.steps}, not {min(observations)} to "
                         f"{max(observations)}")  # fmt: skip
    if not recording.info.with_images:
        episode = recording.episode(number)
        return episode.video[rows], [episode.facts[t] for t in observations]
    needed, places = np.unique(rows, return_inverse=True)
    table = recording.columns(number, [IMAGE, "facts"])
    images = table.column(IMAGE).combine_chunks().field("bytes")
    frames = decode_png([images[int(row)].as_py() for row in needed], recording.frame_size)
    facts = table.column("facts").combine_chunks()
    return frames[places.reshape(rows.shape)], [facts[int(row)].as_py() for row in rows[:, -1]]
