"""Live episodes from the true worlds: worker processes play, the parent iterates over finished episodes in
order.

Used by ``worldsim collect`` and directly by training, where frames go straight to the codec. Each worker is a
spawned process with its own worlds, driven by one thread of the parent through one pipe, so that a worker
that dies is seen at once and cannot block the others. Episode i depends on the run's seed and on i only
(``mixture.plan_episode``), never on the number of workers. At most ``workers + prefetch`` episodes are under
way or waiting, which bounds memory.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from worldsim.recording.episode import Episode
from worldsim.recording.mixture import EpisodePlan, draw_size, parse_mixture, parse_sizes, plan_episode
from worldsim.recording.shots import draw_cuts
from worldsim.worlds import DOOM_WORLDS, world_named

_LEAVE = signal.SIGUSR1
"""Tells a worker to close its worlds and end: a killed one would leave their engines behind."""


class WorkerError(RuntimeError):
    """A worker failed; the message holds the traceback of the worker."""


@dataclass(frozen=True)
class GenerateConfig:
    """What to generate.

    ``worlds`` and ``policies`` are mixtures ("DoomRooms:3,DoomBasic:1", "explorer:0.6,random:0.4"; weights
    are shares of episodes, default 1); a world may also be a Gymnasium id with its module
    ("my_module:MyWorld-v0"), and a policy a saved Stable-Baselines3 archive ("sb3=path.zip"). ``split`` is
    "train" or "val". ``episodes`` and ``steps`` end the run, whichever comes first; without both it is
    endless. Episodes are numbered from ``first_episode``, which resumes a run. ``workers=0`` plays in this
    process. ``frame_size`` is (H, W) in pixels; ``sizes``, a mixture such as ("64x64:2", "64x128"), draws one for each
    episode instead. ``max_steps`` cuts episodes (``truncated``). ``noise`` is the
    probability per step of a random action in place of the policy's, ``goals`` the share of episodes with a
    goal, in worlds that have any. ``prefetch`` episodes wait finished at most. ``words``: facts are worded for
    training by the process that plays; ``shots`` is the share of episodes that are cut to other poses of their map
    (``shots.py``; they have no goal), in worlds that take poses; ``motion``: true motion of the picture is kept, in
    worlds that know their depth.
    """

    worlds: str | tuple[str, ...] = DOOM_WORLDS
    policies: str | tuple[str, ...] = ("explorer:0.7", "random:0.3")
    split: str = "train"
    seed: int = 0
    episodes: int | None = None
    steps: int | None = None
    first_episode: int = 0
    workers: int = 1
    frame_size: tuple[int, int] = (64, 64)
    sizes: tuple[str, ...] = ()
    max_steps: int | None = None
    noise: float = 0.05
    goals: float = 0.5
    prefetch: int = 4
    words: bool = False
    motion: bool = False
    shots: float = 0.0
    env_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.split not in ("train", "val"):
            raise ValueError(
                f"split {self.split!r} cannot be recorded: accepted are 'train' and 'val' (test maps are for measuring)"
            )
        for name, low in {"seed": 0, "first_episode": 0, "workers": 0, "prefetch": 0}.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name} must be at least {low}, not {getattr(self, name)}")
        for name in ("episodes", "steps", "max_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1 (or None for no limit), not {value}")
        if not (0 <= self.noise <= 1 and 0 <= self.goals <= 1):
            raise ValueError(f"noise and goals are probabilities, not {self.noise} and {self.goals}")
        if not 0 <= self.shots <= 1:
            raise ValueError(f"shots is a share of the episodes, from 0 to 1, not {self.shots}")
        parse_mixture(self.policies)
        if self.sizes:
            parse_sizes(self.sizes)
        for name, _ in self.world_mixture:
            if ":" not in name:
                world_named(name)

    @property
    def world_mixture(self) -> tuple[tuple[str, float], ...]:
        return parse_mixture(self.worlds)

    def plan(self, index: int) -> EpisodePlan:
        """What episode ``index`` of this run is."""
        plan = plan_episode(index, self.seed, self.world_mixture, parse_mixture(self.policies), self.split)
        if self.shots:
            plan = replace(plan, cuts=draw_cuts(index, self.seed, self.shots))
        if not self.sizes:
            return plan
        return replace(plan, frame_size=draw_size(index, self.seed, parse_sizes(self.sizes)))


def generate_episodes(
    config: GenerateConfig, stop: Callable[[], bool] = lambda: False
) -> Generator[Episode, None, None]:
    """Finished episodes in the order of their numbers.

    Once ``stop()`` is true no further episode is started; those under way are still finished and yielded.
    Closing the iterator (or leaving the loop and dropping it) ends the workers. Raises ``WorkerError`` with
    the worker's traceback where one fails, after the episodes before the failed one were yielded.
    """
    if config.shots:
        _need_poses(config)
    steps = 0
    source = _in_this_process(config, stop) if config.workers == 0 else _in_workers(config, stop)
    try:
        for episode in source:
            yield episode
            steps += len(episode)
            if config.steps is not None and steps >= config.steps:
                return
    finally:
        source.close()


def _need_poses(config: GenerateConfig) -> None:
    """Raises ``ValueError`` for a world that cannot be started at any pose, before anything is played."""
    from gymnasium.envs.registration import load_env_creator, spec

    import worldsim  # noqa: F401  (registers the worlds)

    for name, _ in config.world_mixture:
        module, colon, _ = name.partition(":")
        if colon:
            import_module(module)
        env_id = name.rpartition(":")[2] if colon else world_named(name).env_id
        entry = spec(env_id).entry_point
        made = load_env_creator(entry) if isinstance(entry, str) else entry
        if not (getattr(made, "has_poses", False) and getattr(made, "any_yaw", True)):
            raise ValueError(
                f"{env_id} cannot be started at a pose of any yaw, so it has no other shots of a map: leave it out of "
                "worlds, or leave out shots"
            )


def _indices(config: GenerateConfig) -> Iterator[int]:
    index = config.first_episode
    while config.episodes is None or index < config.first_episode + config.episodes:
        yield index
        index += 1


def _in_this_process(config: GenerateConfig, stop: Callable[[], bool]) -> Generator[Episode, None, None]:
    from worldsim.recording.play import Player

    player = Player(config)
    try:
        for index in _indices(config):
            if stop():
                return
            yield player.play(config.plan(index))
    finally:
        player.close()


def _in_workers(config: GenerateConfig, stop: Callable[[], bool]) -> Generator[Episode, None, None]:
    pool = _Pool(config, stop)
    try:
        for index in _indices(config):
            episode = pool.take(index)
            if episode is None:
                return
            yield episode
    finally:
        pool.close()


class _Pool:
    """Worker processes, a thread for each, and the finished episodes that wait to be taken in order."""

    def __init__(self, config: GenerateConfig, stop: Callable[[], bool]) -> None:
        self.config = config
        self.stop = stop
        self.changed = threading.Condition()
        self.finished: dict[int, Episode] = {}
        self.error: BaseException | None = None
        self.closing = False
        self.to_start = _indices(config)
        self.next_start: int | None = next(self.to_start)
        self.next_take = config.first_episode
        context = multiprocessing.get_context("spawn")
        self.lanes: list[tuple[BaseProcess, Connection, threading.Thread]] = []
        for number in range(config.workers):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_work, args=(theirs, config), name=f"worldsim-worker-{number}", daemon=True
            )
            process.start()
            theirs.close()
            thread = threading.Thread(target=self._drive, args=(process, ours), daemon=True)
            self.lanes.append((process, ours, thread))
        for _, _, thread in self.lanes:
            thread.start()

    def take(self, index: int) -> Episode | None:
        """Episode ``index``, once it is there, None where it was not started before ``stop``; taken in
        order."""

        def decided() -> bool:
            return index in self.finished or self.error is not None or (self.stop() and self.next_start == index)

        with self.changed:
            while not self.changed.wait_for(decided, timeout=0.5):  # a signal handler cannot notify
                pass
            if index not in self.finished:
                if self.error is not None:
                    raise self.error
                return None
            self.next_take = index + 1
            self.changed.notify_all()
            return self.finished.pop(index)

    def close(self) -> None:
        """Ends threads and processes; a worker in the middle of an episode closes its world, or is killed
        after 5 s."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        for process, _, _ in self.lanes:
            if process.is_alive() and process.pid is not None:
                os.kill(process.pid, _LEAVE)
        for process, ours, thread in self.lanes:
            thread.join()
            process.join(timeout=5)
            process.kill()
            process.join()
            ours.close()

    def _claim(self) -> int | None:
        """The next episode to start, when there is room for it; None at the end."""
        window = self.config.workers + self.config.prefetch
        with self.changed:
            self.changed.wait_for(
                lambda: self._stopped() or self.next_start is None or self.next_start < self.next_take + window
            )
            if self._stopped() or self.stop() or self.next_start is None:
                return None
            index, self.next_start = self.next_start, next(self.to_start, None)
            return index

    def _stopped(self) -> bool:
        return self.closing or self.error is not None

    def _drive(self, process: BaseProcess, pipe: Connection) -> None:
        index: int | None = None
        try:
            while (index := self._claim()) is not None:
                pipe.send(index)
                while not pipe.poll(0.2):
                    # a dead worker's engine still holds the pipe's other end, so that no end of file arrives
                    if self.closing or not process.is_alive():
                        raise EOFError
                episode = _receive(pipe)
                with self.changed:
                    self.finished[index] = episode
                    self.changed.notify_all()
        except WorkerError as error:
            self._fail(error)
        except (EOFError, OSError):
            process.join(timeout=5)
            self._fail(WorkerError(f"{process.name} died in episode {index} with exit code {process.exitcode}"))

    def _fail(self, error: WorkerError) -> None:
        with self.changed:
            self.error = self.error or error
            self.changed.notify_all()


def _send(pipe: Connection, episode: Episode) -> None:
    """The frames travel as raw bytes after the rest, because pickling would copy them."""
    empty = {"first": episode.first[:0], "blocks": episode.blocks[:0]}
    rest = {**{name: getattr(episode, name) for name in Episode.__dataclass_fields__}, **empty}
    pipe.send(("episode", rest, episode.first.shape, episode.blocks.shape))
    pipe.send_bytes(episode.first.data.cast("B"))
    pipe.send_bytes(episode.blocks.data.cast("B"))


def _receive(pipe: Connection) -> Episode:
    kind, content, *shapes = pipe.recv()
    if kind == "error":
        raise WorkerError(content)
    first, blocks = (np.empty(shape, np.uint8) for shape in shapes)
    pipe.recv_bytes_into(first.data.cast("B"))
    pipe.recv_bytes_into(blocks.data.cast("B"))
    return Episode(**{**content, "first": first, "blocks": blocks})


def _leave(signum: int, frame: object) -> None:
    raise SystemExit  # unwinds to the worker's finally, which ends the world's engine too


def _work(pipe: Connection, config: GenerateConfig) -> None:
    """A worker's life: an episode for each index that arrives, until the parent goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when a run ends
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(_LEAVE, _leave)
    os.set_inheritable(pipe.fileno(), False)  # else the worlds' engines would hold it open
    os.environ["OMP_NUM_THREADS"] = "1"
    import cv2

    cv2.setNumThreads(1)
    player = None
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            from worldsim.recording.play import Player

            player = Player(replace(config, workers=0))
            while True:
                _send(pipe, player.play(config.plan(pipe.recv())))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:
            report = "".join(traceback.format_exception(error))
            pipe.send(("error", f"a worker failed: {error}\n\nIn the worker:\n{report}"))
        finally:
            if player is not None:
                player.close()
