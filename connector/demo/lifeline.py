"""A lifeline: a child process that ends when this one ends, however this one ends.

A tiny shell waits on a pipe that only this process holds open. When the process is gone, by exit
or by `kill -9`, the kernel closes the pipe, and the shell kills the child. The kernel's own death
signal (PR_SET_PDEATHSIG) is not used: it comes when the *thread* that started the child ends, and
setting it runs Python between fork and exec, which is not safe in a process with threads.

A process that was forked from this one without an exec holds the pipe too, so the child lives as
long as the last of them.
"""

from __future__ import annotations

import subprocess

_WAIT_THEN_KILL = 'read -r _; kill -KILL "$1"'


class Lifeline:
    """Ties the child `pid` to the life of this process until `cut`."""

    __slots__ = ("_watcher",)

    def __init__(self, pid: int) -> None:
        # a session of its own: Ctrl-C, or a kill of this process group, does not reach the watcher
        self._watcher = subprocess.Popen(  # noqa: S603 - all of it is ours
            ["/bin/sh", "-c", _WAIT_THEN_KILL, "lifeline", str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def cut(self) -> None:
        """Lets go. Called once the child has been waited for: its pid may soon be another's."""
        self._watcher.kill()
        self._watcher.wait()
        if self._watcher.stdin is not None:
            self._watcher.stdin.close()
