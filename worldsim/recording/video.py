"""Frames above 128 pixels as H.264 in MP4, one file per episode, read clip by clip; videos of others, read in order.

Groups of 8 pictures without B-frames: a clip from the middle starts at a key frame at most 7 frames before
it; long groups cost several times more to read at random, whatever the decoder. Lossy (crf 12, 4:2:0 colour),
so what is read is within a few grey levels of what was written. The size of the picture and the codec are
checked before any decoding.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from worldsim.recording.store import RecordingError, publish

GROUP = 8
CODECS = ("h264", "hevc", "av1")
"""Codecs that a recording's video may have; no other decoder is ever started."""
FOREIGN_CODECS = (*CODECS, "mpeg4")
"""Codecs that a video from elsewhere may have."""
MAX_SIDE = 4096
"""Pixels along a side above which a video from elsewhere is not decoded."""


def encode_video(path: Path, frames: np.ndarray, fps: float) -> None:
    """Writes frames uint8 ``(F, H, W, 3)`` durably to ``path``. Raises ``ValueError`` for odd sizes."""
    height, width = frames.shape[1:3]
    if height % 2 or width % 2:
        raise ValueError(f"video needs even frame sizes, not {height}x{width}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    rate = Fraction(fps).limit_denominator(1000)
    with av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = 1 / rate
        group = f"keyint={GROUP}:min-keyint={GROUP}:scenecut=0:bframes=0"
        stream.options = {"crf": "12", "preset": "veryfast", "x264-params": group}
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            picture.pts, picture.time_base = number, 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    publish(temporary, path)


def decode_video(path: Path, rows: slice, fps: float, frame_size: tuple[int, int]) -> np.ndarray:
    """Frames ``rows.start`` to ``rows.stop - 1`` of a video, uint8 ``(F, H, W, 3)``.

    Raises ``RecordingError`` naming the file where it is damaged, of another size or codec, or too short.
    """
    wanted = rows.stop - rows.start
    try:
        with av.open(str(path), "r", format="mp4") as container:
            stream = container.streams.video[0]
            name, size = stream.codec_context.name, (stream.height, stream.width)
            if name not in CODECS or size != frame_size:
                raise RecordingError(
                    f"{path} holds {size[0]}x{size[1]} {name}, not {frame_size[0]}x{frame_size[1]} "
                    f"in one of {', '.join(CODECS)}"
                )
            time_base = stream.time_base or Fraction(1, 1)
            container.seek(int(rows.start / fps / time_base), stream=stream, backward=True)
            frames: list[np.ndarray] = []
            for picture in container.decode(stream):
                number = round(float(picture.pts * time_base) * fps) if picture.pts is not None else -1
                if number == rows.start + len(frames):
                    frames.append(picture.to_ndarray(format="rgb24"))
                if len(frames) == wanted:
                    return np.stack(frames)
    except (av.FFmpegError, IndexError) as error:
        raise RecordingError(f"{path} is damaged or not a video: {error}") from error
    raise RecordingError(f"{path} is too short: it has no frames {rows.start + len(frames)} to {rows.stop - 1}")


def foreign_frames(path: Path) -> Iterator[np.ndarray]:
    """All frames of a video from elsewhere in the order in which they are shown, uint8 ``(H, W, 3)`` each.

    Raises ``RecordingError`` naming the file where it is damaged or of a codec or size that is not decoded.
    """
    try:
        with av.open(str(path), "r", format="mp4") as container:
            stream = container.streams.video[0]
            name, height, width = stream.codec_context.name, stream.height, stream.width
            if name not in FOREIGN_CODECS or max(height, width) > MAX_SIDE:
                raise RecordingError(
                    f"{path} holds {height}x{width} {name}; decoded are {', '.join(FOREIGN_CODECS)} "
                    f"of at most {MAX_SIDE} pixels a side"
                )
            for picture in container.decode(stream):
                yield picture.to_ndarray(format="rgb24")
    except (av.FFmpegError, IndexError) as error:
        raise RecordingError(f"{path} is damaged or not a video: {error}") from error
