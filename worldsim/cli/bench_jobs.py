"""Pieces of work in processes of their own, for runs whose pieces do not depend on each other.

Each worker is a fresh interpreter with one thread, since a process per core does more than threads that share small
pictures. What a piece prints comes out in whole lines with its label before them. A piece that raises, or whose process
dies, costs nothing but itself. When the parent is interrupted or told to end, workers are told to stop, and close what
they hold (a true world is a process too) before they end; they do so by themselves when the parent is gone.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from worldsim.cli.main import USER_ERRORS, show_traceback

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What NumPy's and PyTorch's libraries read when they are loaded."""
LOTS = 2
"""Lots of work for each process: more end more evenly, and each opens worlds and a model of its own."""
GRACE = 20.0
"""Seconds in which an interrupted worker may close its worlds."""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lots(jobs: int) -> int:
    """Into how many lots the work of ``jobs`` processes is divided."""
    return LOTS * jobs if jobs > 1 else 1


@dataclass(frozen=True)
class Piece:
    """``call(*arguments)``, a function of a module and what can be pickled; ``label`` says for people whose it is.
    Pieces of a lower ``rank`` are begun first."""

    label: str
    call: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    rank: int = 0


@dataclass(frozen=True)
class Ended:
    """A piece that has ended: the ``value`` that it returned, or why it ``failed`` ("" if it did not)."""

    piece: Piece
    value: Any = None
    failed: str = ""


class Workers:
    """Up to ``jobs`` processes; a context manager that ends them. ``say`` prints a line. Where ``raises``, an error
    of a piece that a user can put right goes through."""

    def __init__(self, jobs: int, say: Callable[[str], None] = print, raises: bool = False) -> None:
        self._jobs, self._say, self._raises = jobs, say, raises
        self._waiting: list[Piece] = []
        self._idle: list[Worker] = []
        self._busy: dict[Connection, Worker] = {}
        self._before: Callable[[int, FrameType | None], Any] | int | None = None

    def add(self, piece: Piece) -> None:
        """Puts a piece behind those of its rank that wait."""
        self._waiting.append(piece)

    def ended(self) -> Iterator[Ended]:
        """Runs all pieces, those among them that are added meanwhile, and yields each when it has ended."""
        while self._waiting or self._busy:
            while self._waiting and len(self._busy) < self._jobs:
                piece = min(self._waiting, key=lambda waiting: waiting.rank)
                self._waiting.remove(piece)
                worker = self._begun(piece)
                self._busy[worker.pipe] = worker
            for pipe in wait(list(self._busy)):
                found = self._heard(self._busy[pipe])  # type: ignore[index]
                if found is not None:
                    yield found

    def _begun(self, piece: Piece) -> Worker:
        """The worker that has the piece: an idle one that still lives, or a new one. One may have died meanwhile."""
        while self._idle:
            worker = self._idle.pop()
            if worker.process.is_alive() and worker.begin(piece):
                return worker
            worker.stop()
            worker.end()
        worker = Worker()
        worker.begin(piece)  # if it dies at once, that is heard of as of any other
        return worker

    def _heard(self, worker: Worker) -> Ended | None:
        """What a worker tells: a line, or how its piece ended."""
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):  # the process is gone
            del self._busy[worker.pipe]
            worker.end()
            return Ended(worker.piece, failed=f"its process ended with exit code {worker.process.exitcode}")
        if kind == "said":
            self._say(f"{worker.piece.label}: {value}")
            return None
        self._idle.append(self._busy.pop(worker.pipe))
        if kind == "value":
            return Ended(worker.piece, value)
        failed, error = value
        if self._raises and error is not None:
            raise error
        return Ended(worker.piece, failed=failed)

    def __enter__(self) -> Workers:
        if threading.current_thread() is threading.main_thread():  # no other may say what a signal does
            self._before = signal.signal(signal.SIGTERM, _leave)
        return self

    def __exit__(self, *_: object) -> None:
        workers = [*self._idle, *self._busy.values()]
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.end()
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)


class Here:
    """Does in this process what ``Workers`` do in others, one piece after the other; where ``raises``, what a piece
    raises goes through."""

    def __init__(self, raises: bool = False) -> None:
        self._raises = raises
        self._waiting: deque[Piece] = deque()

    def add(self, piece: Piece) -> None:
        """Puts a piece behind those that wait."""
        self._waiting.append(piece)

    def ended(self) -> Iterator[Ended]:
        """As ``Workers.ended``."""
        while self._waiting:
            piece = self._waiting.popleft()
            try:
                found = Ended(piece, piece.call(*piece.arguments))
            except Exception as error:
                if self._raises:
                    raise
                show_traceback()
                found = Ended(piece, failed=f"{type(error).__name__}: {error}")
            yield found

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Worker:
    """One process, which does one piece after the other."""

    piece: Piece

    def __init__(self) -> None:
        self._stopped = False
        context = multiprocessing.get_context("spawn")
        self.pipe, there = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_work, args=(there,))
        with _one_thread():
            self.process.start()
        there.close()

    def begin(self, piece: Piece) -> bool:
        """Hands it a piece; whether it could be handed."""
        self.piece = piece
        try:
            self.pipe.send(piece)
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """Tells it to stop at once, and again until it does: a signal just before a sleep does not end the sleep."""
        self.process.terminate()
        self._stopped = True

    def end(self) -> None:
        """Waits until it has ended, not for ever."""
        until = time.monotonic() + GRACE
        while self.process.is_alive() and time.monotonic() < until:
            self.process.join(1.0)
            if self._stopped:
                self.process.terminate()  # ignored while it closes what it holds
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


@contextmanager
def _one_thread() -> Iterator[None]:
    """What a process that is started here finds in its environment."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Lines(io.TextIOBase):
    """Standard output that goes through a pipe, line by line."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._begun = pipe, ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._pipe.send(("said", line))
        return len(text)

    def end(self) -> None:
        """Sends what no line break has ended."""
        if self._begun:
            self.write("\n")


def _user_error(error: Exception) -> Exception | None:
    """An error that a user can put right, as one that can be pickled; None for a fault."""
    if not isinstance(error, USER_ERRORS):
        return None
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its class says or does when it is made anew
        return ValueError(str(error))
    return error


def _leave(number: int, _: FrameType | None) -> NoReturn:
    """Ends this process by an exception, so that what it holds is closed; by default SIGTERM ends it at once."""
    signal.signal(number, signal.SIG_IGN)  # said twice, it would interrupt the closing
    raise SystemExit(128 + number)


def _follow_the_parent() -> None:
    """Waits until the parent is gone, however it ended; then ends this process, if need be by force."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))  # the main thread's, whose sleep must end
    wait([parent.sentinel])
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGTERM)
    time.sleep(GRACE)
    for children in Path("/proc/self/task").glob("*/children"):  # true worlds, which would outlive it
        for child in children.read_text().split():
            with suppress(OSError):
                os.kill(int(child), signal.SIGKILL)
    os._exit(1)


def _work(pipe: Connection) -> None:
    """A worker's life: pieces come through ``pipe``; lines, values and reasons go back."""

    def stop(*_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C reaches all processes, and the parent says so again
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    threading.Thread(target=_follow_the_parent, daemon=True).start()
    try:
        import cv2

        cv2.setNumThreads(1)
        while True:
            piece: Piece = pipe.recv()
            said = _Lines(pipe)
            try:
                with redirect_stdout(said):
                    value = piece.call(*piece.arguments)
            except Exception as error:  # told to the parent, which goes on
                show_traceback()
                said.end()
                pipe.send(("failed", (f"{type(error).__name__}: {error}", _user_error(error))))
            else:
                said.end()
                pipe.send(("value", value))
    except (EOFError, KeyboardInterrupt, OSError):  # no more pieces, or no parent
        pass
