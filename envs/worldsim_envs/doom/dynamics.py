"""Reseeding what moves by itself, in the middle of an episode.

The engine's random streams are seeded when an episode begins and cannot be set later, but a saved game
carries them: the game is saved, its streams are replaced, and it is loaded again, at the same tic with the
same picture. So twin rollouts can share a past and differ in nothing but chance. The saved game is a PNG
file with chunks of its own (ZDoom 2.8, ``m_random.cpp``): ``raNd`` holds a seed and, for each stream, a
name hash, a position and 20 words."""

from __future__ import annotations

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RANDOM_CHUNK = b"raNd"
SEED_BYTES = 4
HEADER_BYTES = 8  # name hash and position of a stream
WORDS = 20


def reseed_saved_game(saved: bytes, seed: int) -> bytes:
    """The saved game with every random stream replaced by one drawn from ``seed``.

    Raises ``ValueError`` where ``saved`` is not a saved game of this engine.
    """
    if not saved.startswith(SIGNATURE):
        raise ValueError("not a saved game: the PNG signature is missing")
    out, at, found = bytearray(SIGNATURE), len(SIGNATURE), False
    while at < len(saved):
        size, kind = struct.unpack_from(">I4s", saved, at)
        data = saved[at + 8 : at + 8 + size]
        if kind == RANDOM_CHUNK:
            data, found = _redrawn(data, seed), True
        out += struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))
        at += 12 + size
    if not found:
        raise ValueError("not a saved game of this engine: it holds no random streams")
    return bytes(out)


def _redrawn(data: bytes, seed: int) -> bytes:
    stream = HEADER_BYTES + 4 * WORDS
    if (len(data) - SEED_BYTES) % stream:
        raise ValueError(f"random streams of {len(data)} bytes; expected {SEED_BYTES} + n * {stream}")
    streams = np.frombuffer(data, np.uint8, offset=SEED_BYTES).reshape(-1, stream).copy()
    rng = np.random.Generator(np.random.PCG64(seed))
    streams[:, HEADER_BYTES:] = rng.integers(0, 256, (len(streams), 4 * WORDS), np.uint8)
    return struct.pack(">I", seed & 0xFFFFFFFF) + streams.tobytes()
