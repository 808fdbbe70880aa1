"""What is read off pictures, exactly: which of two true pictures does a picture resemble, and where?

No net is needed where twin rollouts are: the true world played the deed and the same motion without it, so the pixels
that the deed changes are known, and each of them votes for the truth that it is nearer to in colour. Votes are counted,
not averaged over grey levels: a blurred picture is still nearer to the right one, and a grey one splits. A camera that
has moved may stand a little off; then the picture is first shifted to where it fits best *outside* of the changed
pixels. Shapes: H x W pixels, frames uint8 RGB.
"""

from __future__ import annotations

import cv2
import numpy as np

VISIBLE = 24.0
"""Largest difference over the channels, in grey levels, from which on two colours count as different."""
REACH = 3
"""Pixels (of 64 rows) that a picture may be shifted to meet the truth, after the camera has moved."""


def differs(a: np.ndarray, b: np.ndarray, threshold: float = VISIBLE) -> np.ndarray:
    """bool ``(H, W)``: pixels whose colours differ visibly."""
    return np.asarray(np.abs(a.astype(np.int16) - b.astype(np.int16)).max(-1) > threshold)


def grown(mask: np.ndarray, by: int = 2) -> np.ndarray:
    """The mask with ``by`` pixels around it."""
    kernel = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float ``(H, W)``: Euclidean distance of the colours."""
    return np.asarray(np.sqrt(((a.astype(np.float32) - b.astype(np.float32)) ** 2).sum(-1)))


def nearer(frame: np.ndarray, this: np.ndarray, that: np.ndarray, mask: np.ndarray) -> float:
    """Share of the mask's pixels whose colour in ``frame`` is nearer to ``this`` than to ``that``; NaN without any.

    A tie counts half, so that what cannot tell does not win.
    """
    if not mask.any():
        return float("nan")
    gap = distance(frame, that)[mask] - distance(frame, this)[mask]
    return float(((gap > 0) + 0.5 * (gap == 0)).mean())


def departs(frame: np.ndarray, this: np.ndarray, that: np.ndarray, mask: np.ndarray) -> float:
    """Share of the mask's pixels that have left ``that`` by at least half of what ``this`` has; for deeds that uncover
    what nobody has seen (an opened door), where only what is gone can be judged."""
    if not mask.any():
        return float("nan")
    return float((distance(frame, that)[mask] > 0.5 * distance(this, that)[mask]).mean())


def shifted(picture: np.ndarray, dx: int, dy: int) -> np.ndarray:
    """The picture moved by whole pixels to the right and down; its border is repeated."""
    if not dx and not dy:
        return picture
    height, width = picture.shape[:2]
    rows = np.clip(np.arange(height) - dy, 0, height - 1)
    columns = np.clip(np.arange(width) - dx, 0, width - 1)
    return picture[rows][:, columns]


def registered(frame: np.ndarray, truth: np.ndarray, outside: np.ndarray, reach: int = REACH) -> np.ndarray:
    """``frame`` shifted by at most ``reach`` pixels to where it is nearest to ``truth`` on the pixels ``outside`` (as
    it is where there are none)."""
    if not outside.any():
        return frame
    moves = [(dx, dy) for dy in range(-1, 2) for dx in range(-reach, reach + 1)]
    moves.sort(key=lambda m: abs(m[0]) + abs(m[1]))
    height, width = outside.shape
    # by channels, with a border to move in: every shift is a view, and nothing is converted twice
    around = np.pad(frame, ((1, 1), (reach, reach), (0, 0)), "edge").transpose(2, 0, 1).astype(np.float32)
    there, asked = truth.transpose(2, 0, 1).astype(np.float32), np.flatnonzero(outside)

    def gap(move: tuple[int, int]) -> float:
        left, top = reach - move[0], 1 - move[1]
        red, green, blue = (around[:, top : top + height, left : left + width] - there) ** 2
        return float(np.sqrt(red + (green + blue)).ravel()[asked].mean())  # in the order in which numpy sums them

    return shifted(frame, *min(moves, key=gap))


def without(truth: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The picture with the masked pixels filled in from around them (Telea 2004): the place without the thing."""
    return np.asarray(cv2.inpaint(np.ascontiguousarray(truth), grown(mask, 1).astype(np.uint8), 3, cv2.INPAINT_TELEA))


def recoloured(frame: np.ndarray, mask: np.ndarray, degrees: int) -> np.ndarray:
    """The picture with the hue of the masked pixels turned by ``degrees``."""
    hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = np.where(mask, (hsv[..., 0].astype(int) + degrees // 2) % 180, hsv[..., 0])
    return np.where(mask[..., None], cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), frame)


def saturation(frame: np.ndarray, mask: np.ndarray) -> float:
    """Mean of (max - min) / 255 over the channels of the masked pixels."""
    colours = frame[mask].astype(np.float32)
    return float((colours.max(-1) - colours.min(-1)).mean() / 255)
