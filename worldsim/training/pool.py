"""Episodes while they come in: a background thread fills a bounded pool of frames that the codec trains from.

The source is any iterator of episodes, a recording on disk or live worlds, so that training from both is one path and
needs no video library. On a GPU machine the worlds play on all cores while the pool grows beside training; its frames
lie on the GPU, where a batch is read by index.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping

import numpy as np
import torch

from worldsim.recording.episode import Episode
from worldsim.training.shares import draw_weighed
from worldsim.training.transfer import send


class _Circle:
    """At most ``most`` rows on ``device``; when it is full, new rows replace the oldest."""

    def __init__(self, most: int, device: torch.device) -> None:
        self.most, self.device = most, device
        self.held: torch.Tensor | None = None
        self.kinds = np.zeros(most, np.int16)
        self.count = 0
        self._next = 0

    def add(self, rows: torch.Tensor, kind: int) -> None:
        """Takes up rows of one ``kind``."""
        rows = rows[-self.most :]
        if self.held is None:
            self.held = torch.empty(0, *rows.shape[1:], dtype=rows.dtype, device=self.device)
        needed = min(self.most, self.count + len(rows))
        if needed > len(self.held):
            larger = self.held.new_empty(min(self.most, max(needed, 2 * len(self.held))), *rows.shape[1:])
            larger[: self.count] = self.held[: self.count]
            self.held = larger
        at = (self._next + torch.arange(len(rows))) % self.most
        self.held[send(at, self.device)] = send(rows, self.device)
        self.kinds[at.numpy()] = kind
        self._next = (self._next + len(rows)) % self.most
        self.count = needed

    @property
    def present(self) -> np.ndarray:
        """The kinds of which rows are held, in order."""
        return np.flatnonzero(np.bincount(self.kinds[: self.count]))

    def draw(self, kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A random row of each of ``kinds``, all of which are held."""
        rows = np.zeros(len(kinds), np.int64)
        for kind in np.unique(kinds):
            wanted = kinds == kind
            rows[wanted] = rng.choice(np.flatnonzero(self.kinds[: self.count] == kind), wanted.sum())
        return rows


class EpisodePool:
    """At most ``most_blocks`` whole blocks of frames on ``device`` (default: the CPU), and an eighth as many reset
    frames. When it is full, what is new replaces the oldest.

    Worlds have equal shares of what is sampled, however much of each is held, or those that ``shares`` says. Of a
    turn-based world, whose blocks are one frame repeated, only images are drawn, as often as images and blocks of
    another world together.
    """

    def __init__(
        self, most_blocks: int, device: torch.device | None = None, shares: Mapping[str, float] | None = None
    ) -> None:
        self.device = device or torch.device("cpu")
        self.shares = shares or {}
        self._whole = _Circle(most_blocks, self.device)
        self._first = _Circle(max(1, most_blocks // 8), self.device)
        self._worlds: dict[tuple[str, bool], int] = {}
        self._lock = threading.Lock()

    @property
    def blocks(self) -> int:
        return self._whole.count

    def add(self, episode: Episode) -> None:
        """Takes up the reset frame and the blocks whose frames are all real. Raises ``ValueError`` for frames of
        another size than those before."""
        held = self._first.held
        if held is not None and tuple(held.shape[1:]) != episode.first.shape:
            raise ValueError(
                f"frames of {episode.first.shape[:2]} beside others of {tuple(held.shape[1:3])}: a codec is trained on "
                "one size, and encodes all; give one --source.frame-size and no --source.sizes"
            )
        whole = episode.blocks[episode.n_frames == episode.frames_per_step]
        with self._lock:
            kind = self._worlds.setdefault((episode.world, episode.frames_per_step == 1), len(self._worlds))
            self._first.add(torch.from_numpy(np.ascontiguousarray(episode.first))[None], kind)
            if len(whole):
                self._whole.add(torch.from_numpy(np.ascontiguousarray(whole)), kind)

    def clear(self) -> None:
        """Lets all frames go."""
        with self._lock:
            self._whole, self._first = _Circle(1, self.device), _Circle(1, self.device)

    def sample(self, blocks: int, images: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """uint8 blocks ``(blocks, 4, H, W, 3)`` and single frames ``(images, 1, H, W, 3)``, worlds in their shares.

        One image in four is a reset frame, where one of its world is held. Raises ``ValueError`` while there are no
        blocks.
        """
        with self._lock:
            whole, first = self._whole.held, self._first.held
            if whole is None or first is None:
                raise ValueError("the pool is empty: add an episode with a whole block before sampling")
            moving, still = self._kinds()
            turns = images
            if len(moving):
                among = sum(self._share(kind) for kind in still) / sum(map(self._share, [*still, *moving]))
                turns = round(min(images, (blocks + images) * among))
            shown = np.concatenate([self._each(still, turns, rng), self._each(moving, images - turns, rng)])
            rows = self._whole.draw(self._each(moving if len(moving) else still, blocks, rng), rng)
            frame = rng.integers(whole.shape[1], size=images)
            is_reset = (rng.random(images) < 0.25) & np.isin(shown, self._first.present)
            picks = self._whole.draw(shown, rng)
            resets = np.zeros(images, np.int64)
            resets[is_reset] = self._first.draw(shown[is_reset], rng)
            at, of, from_reset, reset = (
                send(torch.from_numpy(drawn), self.device) for drawn in (picks, frame, resets, is_reset)
            )
            singles = torch.where(reset[:, None, None, None], first[from_reset], whole[at, of])
            return whole[send(torch.from_numpy(rows), self.device)], singles[:, None]

    def _kinds(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the worlds of which blocks are held: those of several frames per step, and turn-based ones."""
        held = self._whole.present
        split = [
            np.array([n for (_, turns), n in self._worlds.items() if turns is kind and n in held], np.int64)
            for kind in (False, True)
        ]
        return split[0], split[1]

    def _share(self, kind: int) -> float:
        return self.shares.get(self._names[kind], 1.0)

    def _each(self, kinds: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """``count`` of ``kinds``, drawn by the shares of their worlds."""
        names = [self._names[kind] for kind in kinds]
        return kinds[draw_weighed(names, self.shares, count, rng)] if count else kinds[:0]

    @property
    def _names(self) -> list[str]:
        """Worlds by the numbers of their kinds."""
        return [world for world, _ in self._worlds]


class Feeder:
    """A thread that takes episodes from a source into a pool, if there is one, and keeps them for ``take``.

    About ``keep`` blocks wait to be taken (0: none are kept); then the source waits.
    """

    def __init__(self, source: Iterator[Episode], pool: EpisodePool | None = None, keep: int = 0) -> None:
        self.pool, self.keep = pool, keep
        self.error: BaseException | None = None
        self.finished = False
        self._source = source
        self._waiting: list[Episode] = []
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="worldsim-feeder", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for episode in self._source:
                with self._lock:
                    if self.pool is not None:
                        self.pool.add(episode)
                if self.keep:
                    self._waiting.append(episode)
                while self.keep and self.waiting >= self.keep and not self._stop.is_set():
                    time.sleep(0.01)
                if self._stop.is_set():
                    break
        except BaseException as error:
            self.error = error
        finally:
            self.finished = True
            close = getattr(self._source, "close", None)
            if close is not None:
                close()

    @property
    def waiting(self) -> int:
        """Blocks of the episodes that wait to be taken."""
        return sum(len(episode) for episode in list(self._waiting))

    def take(self, most: int) -> list[Episode]:
        """Up to ``most`` of the episodes that wait, the oldest first."""
        taken = self._waiting[:most]
        del self._waiting[: len(taken)]  # and not those that came meanwhile
        return taken

    def release_pool(self) -> None:
        """From now on episodes go past the pool, which lets its frames go."""
        with self._lock:
            pool, self.pool = self.pool, None
        if pool is not None:
            pool.clear()

    def wait_for(self, blocks: int) -> None:
        """Waits until the pool holds ``blocks`` blocks (without a pool, until they wait to be taken) or the source has
        ended; raises the source's error."""
        pool = self.pool
        while (self.waiting if pool is None else pool.blocks) < blocks and not self.finished:
            self._thread.join(0.05)
        self.check()

    def check(self) -> None:
        """Raises the source's error, if it had one."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
