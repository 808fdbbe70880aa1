"""Programs that are started for an environment and never outlive it.

A keeper, which is a shell, starts them in the background, line by line from its input, and says their numbers. When its
input ends it ends them all and removes their folder. The other end of that input is held by the environment alone: it
closes when the environment is closed, when the interpreter ends, and when it is killed by a signal that nobody can
catch. So there is one way to end, and no case in which something is left.
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path

# The end of this process orphans the keeper's group, and the kernel hangs up on orphans among whom one is stopped.
_KEEPER = """
trap '' HUP
ends=:
while read -r signal line; do
    eval "exec $line" </dev/null >>"$1/log" 2>&1 &
    ends="$ends; kill -$signal $!"
    echo $!
done
eval "$ends"
wait
rm -rf "$1"
"""


@functools.cache
def can_unshare() -> bool:
    """Whether this user may start programs in a network of their own."""
    if shutil.which("unshare") is None:
        return False
    done = subprocess.run(["unshare", "-rn", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    return done.returncode == 0


def offline(command: Sequence[str]) -> list[str]:
    """``command`` in a network of its own, which has nothing but itself at 127.0.0.1; where that is not allowed, the
    command as it is."""
    if not can_unshare():
        return list(command)
    loopback = Path(__file__).with_name("loopback.py")
    return ["unshare", "-rn", sys.executable, "-I", "-S", str(loopback), *command]


class Keeper:
    """Starts programs whose life ends with this object's, with ``close``, or with this process. ``folder`` is theirs
    and is removed then; its file ``log`` holds what they print."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _KEEPER, "keeper", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0,
        )  # fmt: skip
        os.register_at_fork(after_in_child=functools.partial(_let_go, weakref.ref(self._shell)))

    def start(self, command: Sequence[str], ended_by: str = "KILL", **environment: str) -> int:
        """Starts a program and returns its process number. ``ended_by`` is the signal that will end it: one that cleans
        up after itself, quickly and surely, may be asked to (``TERM``)."""
        assert self._shell.stdin is not None and self._shell.stdout is not None
        settings = [f"{name}={value}" for name, value in environment.items()]
        self._shell.stdin.write(f"{ended_by} {shlex.join(['env', *settings, *command])}\n")
        self._shell.stdin.flush()
        return int(self._shell.stdout.readline())

    def log(self) -> str:
        """The end of what the programs have printed."""
        file = self.folder / "log"
        return file.read_text(errors="replace")[-2000:] if file.exists() else ""

    def close(self) -> None:
        """Ends the programs and removes the folder; returns when that is done. Harmless when repeated."""
        if not self._shell.stdin.closed:  # type: ignore[union-attr]
            self._shell.communicate()

    def __del__(self) -> None:
        self.close()


def _let_go(shell: weakref.ref[subprocess.Popen[str]]) -> None:
    """Closes a forked child's copy of the keeper's input, with which the programs would outlive this process."""
    alive = shell()
    if alive is not None and alive.stdin is not None:
        alive.stdin.close()
