"""Episodes in memory while they come in: a bounded pool that a background thread fills and the codec trains from.

The source is any iterator of episodes, a recording on disk or live worlds, so that training from both is one path and
needs no video library. On a GPU machine the worlds play on all cores while the pool grows beside training.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np

from worldsim.recording.episode import Episode


class EpisodePool:
    """At most ``most_blocks`` blocks of episodes. When it is full, a new episode replaces the oldest."""

    def __init__(self, most_blocks: int) -> None:
        self.most_blocks = most_blocks
        self.episodes: list[Episode] = []
        self.blocks = 0
        self.added = 0
        self._lock = threading.Lock()

    def add(self, episode: Episode) -> None:
        with self._lock:
            self.episodes.append(episode)
            self.added += 1
            self.blocks += len(episode)
            self._shrink()

    def resize(self, most_blocks: int) -> None:
        """Changes the bound; surplus episodes are let go, oldest first (one always stays)."""
        with self._lock:
            self.most_blocks = most_blocks
            self._shrink()

    def _shrink(self) -> None:
        while self.blocks > self.most_blocks and len(self.episodes) > 1:
            self.blocks -= len(self.episodes.pop(0))

    def sample(self, blocks: int, images: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """uint8 blocks ``(blocks, 4, H, W, 3)`` and single frames ``(images, 1, H, W, 3)``, uniform over steps.

        One image in four is a reset frame. Only blocks whose frames are all real are drawn.
        """
        with self._lock:
            episodes = list(self.episodes)
        if not episodes:
            raise ValueError("the pool is empty: add an episode before sampling")
        weight = np.array([len(e) for e in episodes], np.float64)
        picks = rng.choice(len(episodes), blocks + images, p=weight / weight.sum())
        frames = []
        for i in picks[:blocks]:
            whole = np.flatnonzero(episodes[i].n_frames == episodes[i].frames_per_step)
            at = rng.choice(whole) if len(whole) else 0
            frames.append(episodes[i].blocks[at])
        singles = []
        for i in picks[blocks:]:
            e = episodes[i]
            step, frame = rng.integers(len(e)), rng.integers(4)
            singles.append(e.first[None] if rng.random() < 0.25 else e.blocks[step, frame][None])
        return np.stack(frames), np.stack(singles)


class Feeder:
    """A thread that moves episodes from a source into the pool (and to ``fresh``, for whoever encodes them)."""

    def __init__(self, source: Iterator[Episode], pool: EpisodePool, keep_fresh: bool = False) -> None:
        self.pool = pool
        self.fresh: list[Episode] = []
        self.keep_fresh = keep_fresh
        self.error: BaseException | None = None
        self.finished = False
        self._source = source
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="worldsim-feeder", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for episode in self._source:
                self.pool.add(episode)
                if self.keep_fresh:
                    self.fresh.append(episode)
                if self._stop.is_set():
                    break
        except BaseException as error:
            self.error = error
        finally:
            close = getattr(self._source, "close", None)
            if close is not None:
                close()
            self.finished = True

    def take_fresh(self) -> list[Episode]:
        """Episodes that came since the last call."""
        taken, self.fresh = self.fresh, []
        return taken

    def wait_for(self, blocks: int) -> None:
        """Blocks until the pool holds ``blocks`` blocks or the source has ended; raises the source's error."""
        while self.pool.blocks < blocks and not self.finished:
            self._thread.join(0.05)
        self.check()

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
