"""Frames at the size of a recording, and as PNG, without loss: at 128 pixels and below, video's colour subsampling
would smear what a model must learn."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

PNG_LEVEL = 1
"""zlib level of stored frames; higher levels are several times slower and save little (``docs/data.md``)."""


def fit_frame(frame: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``frame`` at ``size`` (H, W) without distortion: the largest centre part of that aspect ratio, resized (by the
    mean over areas where it shrinks)."""
    height, width = size
    if frame.shape[:2] == size:
        return frame.copy()
    scale = min(frame.shape[0] / height, frame.shape[1] / width)
    part = (max(1, round(height * scale)), max(1, round(width * scale)))
    top, left = (frame.shape[0] - part[0]) // 2, (frame.shape[1] - part[1]) // 2
    cut = frame[top : top + part[0], left : left + part[1]]
    method = cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC
    return np.ascontiguousarray(cv2.resize(cut, (width, height), interpolation=method))


def encode_png(frames: np.ndarray, level: int = PNG_LEVEL) -> list[bytes]:
    """PNG files of frames uint8 ``(F, H, W, 3)`` RGB."""
    setting = [cv2.IMWRITE_PNG_COMPRESSION, level]

    def encode(frame: np.ndarray) -> bytes:
        done, data = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), setting)
        if not done:
            raise ValueError(f"OpenCV could not encode a frame of shape {frame.shape} as PNG")
        return data.tobytes()

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:  # OpenCV works outside of Python's lock
        return list(threads.map(encode, frames))


def decode_png(files: Iterable[bytes], frame_size: tuple[int, int]) -> np.ndarray:
    """Frames uint8 ``(F, H, W, 3)`` RGB of PNG files. Raises ``ValueError`` where one is no image of that
    size."""
    frames = []
    for number, data in enumerate(files):
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if frame is None:
            raise ValueError(f"frame {number} is not a readable image")
        if frame.shape[:2] != frame_size:
            raise ValueError(
                f"frame {number} is {frame.shape[0]}x{frame.shape[1]}, not {frame_size[0]}x{frame_size[1]}"
            )
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    return np.stack(frames)
