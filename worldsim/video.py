"""Videos and pictures for people: MP4, animations, contact sheets, side-by-side compositions.

Frames are uint8 ``(T, H, W, 3)`` throughout. Worlds are small (64x64), so what is written is enlarged by a
whole factor without smoothing: every square seen is one pixel of the world. Recordings for training have
their own lossless format; these files lose colour detail (4:2:0) and are only to be looked at. Every file is
written beside its place and renamed, so that an interrupted command leaves no half-written one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

BACKGROUND = (24, 24, 27)
INK = (228, 228, 231)
FAINT = (140, 140, 148)
ANIMATIONS = (".gif", ".png", ".apng", ".webp")
SHEET_CELLS = 24


def check_frames(frames: np.ndarray) -> np.ndarray:
    """``frames`` if they are uint8 ``(T, H, W, 3)`` with T > 0, else raises ``ValueError``."""
    frames = np.asarray(frames)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or frames.shape[0] == 0:
        raise ValueError(f"expected video frames as uint8 (T, H, W, 3) with T > 0; got {frames.dtype} {frames.shape}")
    return frames


def real_frames(infos: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """What an episode showed: uint8 ``(T, H, W, 3)`` from the ``info`` of ``reset`` and of every ``step``.

    Takes ``info["frames"]`` up to ``info["n_frames"]``, so the padding of short blocks is left out.
    """
    return np.concatenate([np.asarray(i["frames"])[: int(i["n_frames"])] for i in infos])


def enlarge(frames: np.ndarray, factor: int) -> np.ndarray:
    """Every pixel of ``(..., H, W, 3)`` as a square of ``factor`` by ``factor`` pixels."""
    return frames.repeat(factor, axis=-3).repeat(factor, axis=-2)


def factor_for(frames: np.ndarray, short_side: int) -> int:
    """The least whole factor that brings the shorter side of ``(..., H, W, 3)`` to ``short_side`` pixels."""
    return max(1, -(-short_side // min(frames.shape[-3:-1])))


@contextmanager
def _renamed_when_whole(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_mp4(path: str | Path, frames: np.ndarray, fps: float, short_side: int = 256) -> Path:
    """Writes H.264 (yuv420p, which every browser plays) at ``fps`` video frames per second; returns the path.

    Sides are enlarged to ``short_side`` pixels or more, and made even by repeating the last row or column.
    """
    import av

    path = Path(path)
    if path.suffix != ".mp4":
        raise ValueError(f"a video is written as .mp4; got {path.name!r}")
    frames = check_frames(frames)
    factor = factor_for(frames, short_side)
    height, width = (side * factor + side * factor % 2 for side in frames.shape[1:3])
    with _renamed_when_whole(path) as partial, av.open(str(partial), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "16", "preset": "medium", "movflags": "+faststart"}
        for frame in frames:
            large = enlarge(frame, factor)
            odd = ((0, height - large.shape[0]), (0, width - large.shape[1]), (0, 0))
            picture = av.VideoFrame.from_ndarray(np.pad(large, odd, mode="edge"), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def write_animation(path: str | Path, frames: np.ndarray, fps: float, short_side: int = 256) -> Path:
    """Writes an endlessly repeating GIF, PNG (APNG) or WebP, by the suffix, for pages that show no video.

    GIF counts in hundredths of a second: at more than 50 frames per second browsers slow it down, so it is
    refused.
    """
    path = Path(path)
    if path.suffix not in ANIMATIONS:
        raise ValueError(f"an animation is written as one of {', '.join(ANIMATIONS)}; got {path.name!r}")
    if path.suffix == ".gif" and fps > 50:
        raise ValueError(f"a GIF shows at most 50 frames per second; got {fps:g}: pass every second frame")
    frames = check_frames(frames)
    large = enlarge(frames, factor_for(frames, short_side))
    pictures = [Image.fromarray(frame) for frame in large]
    # Durations are rounded so that they add up: 35 frames per second are steps of 28 and 29 milliseconds.
    unit = 10 if path.suffix == ".gif" else 1
    ends = [round(1000 * (i + 1) / fps / unit) * unit for i in range(len(pictures))]
    durations = [end - start for start, end in zip([0, *ends[:-1]], ends)]
    options: dict[str, Any] = {
        "save_all": True,
        "append_images": pictures[1:],
        "duration": durations,
        "loop": 0,
    }
    if path.suffix == ".webp":
        options |= {"lossless": True, "quality": 60, "method": 4}
    with _renamed_when_whole(path) as partial:
        pictures[0].save(partial, format="PNG" if path.suffix == ".apng" else None, **options)
    return path


def contact_sheet(
    frames: np.ndarray,
    labels: Sequence[str] = (),
    title: str = "",
    columns: int = 8,
    cell: int = 128,
) -> np.ndarray:
    """A sheet of thumbnails in reading order: uint8 ``(H', W', 3)``.

    ``labels`` (one per frame, or none) stand under the thumbnails, ``title`` above them; what is too long for
    its place is cut and ends in an ellipsis. ``cell`` is the least shorter side of a thumbnail, in pixels.
    """
    frames = check_frames(frames)
    if labels and len(labels) != len(frames):
        raise ValueError(f"{len(labels)} labels were given for {len(frames)} frames; give one each, or none")
    large = enlarge(frames, factor_for(frames, cell))
    (count, height, width), gap = large.shape[:3], 6
    columns = min(columns, count)
    rows = -(-count // columns)
    top, below = (30 if title else gap), (18 if labels else 0)
    sheet = Image.new("RGB", (gap + columns * (width + gap), top + rows * (height + below + gap)), BACKGROUND)
    draw, small = ImageDraw.Draw(sheet), _font(12)
    if title:
        draw.text((gap, 7), _fitted(title, _font(15), sheet.width - 2 * gap), INK, _font(15))
    for i, frame in enumerate(large):
        x, y = gap + i % columns * (width + gap), top + i // columns * (height + below + gap)
        sheet.paste(Image.fromarray(frame), (x, y))
        if labels:
            draw.text((x, y + height + 1), _fitted(labels[i], small, width), FAINT, small)
    return np.asarray(sheet)


def rollout_sheet(observations: np.ndarray, actions: Sequence[str], title: str, begin: str = "reset") -> np.ndarray:
    """A contact sheet of two dozen moments of a rollout, evenly spread, each with its step and the action before it.

    ``observations`` are uint8 ``(n + 1, H, W, 3)`` for ``n`` actions; ``begin`` is said of the first.
    """
    last = len(actions)
    steps = np.unique(np.linspace(0, last, min(SHEET_CELLS, last + 1)).round().astype(int))
    labels = [f"{i} {actions[i - 1]}" if i else f"0 {begin}" for i in steps]
    return contact_sheet(observations[steps], labels, title)


def side_by_side(videos: Mapping[str, np.ndarray], short_side: int = 256) -> np.ndarray:
    """Videos of equal frame size beside each other, each under its name: uint8 ``(T, H', W', 3)``.

    A shorter video keeps its last frame, darkened, until the longest ends.
    """
    if not videos:
        raise ValueError("no video was given to put side by side")
    checked = {name: check_frames(frames) for name, frames in videos.items()}
    sizes = {name: frames.shape[1:3] for name, frames in checked.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"videos beside each other need one frame size (H, W); got {sizes}")
    longest, gap, top = max(map(len, checked.values())), 6, 24
    panels = []
    for name, frames in checked.items():
        large = enlarge(frames, factor_for(frames, short_side))
        held = np.repeat(large[-1:] // 2, longest - len(large), axis=0)
        height, width = large.shape[1:3]
        strip = Image.new("RGB", (width + gap, top), BACKGROUND)
        ImageDraw.Draw(strip).text((2, 4), _fitted(name, _font(14), width), INK, _font(14))
        panel = np.empty((longest, top + height, width + gap, 3), np.uint8)
        panel[:] = BACKGROUND
        panel[:, :top] = np.asarray(strip)
        panel[:, top:, :width] = np.concatenate([large, held])
        panels.append(panel)
    return np.concatenate(panels, axis=2)[:, :, :-gap]


def write_picture(path: str | Path, picture: np.ndarray) -> Path:
    """Writes uint8 ``(H, W, 3)`` as a picture; the suffix decides the format (.png keeps it without loss)."""
    path = Path(path)
    with _renamed_when_whole(path) as partial:
        Image.fromarray(check_frames(np.asarray(picture)[None])[0]).save(partial)
    return path


def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _fitted(text: str, font: Any, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
