"""Packages of npm and PyPI by name and version, kept in a cache outside of this repository.

The cache is `$XDG_CACHE_HOME/crm-connector` (`~/.cache/…` by default), with a folder for each
package and version. A folder that is there is complete and is used again: it was filled beside its
place and moved there whole. One process installs at a time; the others wait and find it done.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path


class CannotInstall(Exception):
    """There is no npm, or a package could not be installed; the message says which and why."""


def install_from_pypi(name: str, version: str) -> Path:
    """The folder of the programs of a package in a virtual environment of its own.

    Raises CannotInstall.
    """
    place = _cache() / f"{name}-{version}-py3.{sys.version_info.minor}"
    with _alone():
        if not (place / "complete").exists():
            # scripts of an environment name its place, so it is made there and marked in the end
            _run([sys.executable, "-m", "venv", "--clear", str(place)], place.parent)
            _run([str(place / "bin/pip"), "install", "--quiet", f"{name}=={version}"], place)
            (place / "complete").touch()
    return place / "bin"


def install_from_npm(name: str, version: str, *, builds: Collection[str] = ()) -> Path:
    """The folder of an installed package.

    `builds` names the packages in it that have native code: npm 11.16 and newer runs the build only
    of those that are named. Raises CannotInstall.
    """
    place = _cache() / f"{name}-{version}"
    with _alone():
        if not place.exists():
            if not (shutil.which("npm") and shutil.which("node")):
                what = f"{name} {version} needs node and npm"
                raise CannotInstall(f"{what}, and they are not installed")
            _install(place, name, version, builds)
    return place / "node_modules" / name


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "crm-connector"


@contextmanager
def _alone() -> Iterator[None]:
    """While no other process installs; the lock of a process that dies is free again."""
    _cache().mkdir(parents=True, exist_ok=True)
    with (_cache() / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(place: Path, name: str, version: str, builds: Collection[str]) -> None:
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".new-") as folder:
        package = {"private": True, "allowScripts": dict.fromkeys(builds, True)}
        (Path(folder) / "package.json").write_text(json.dumps(package))
        npm = ["npm", "install", "--no-audit", "--no-fund", "--omit=dev", f"{name}@{version}"]
        _run(npm, Path(folder), _headers())
        Path(folder).rename(place)
        Path(folder).mkdir()  # for the context to remove


def _run(command: Sequence[str], folder: Path, more: Mapping[str, str] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(more or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if done.returncode:
        last = done.stdout.decode(errors="replace")[-3000:]
        raise CannotInstall(f"{' '.join(command)} failed:\n{last}")


def _headers() -> dict[str, str]:
    """Where node was installed with its headers, native code is built without fetching them."""
    node = shutil.which("node")
    prefix = Path(node).resolve().parents[1] if node else Path("/")
    return {"npm_config_nodedir": str(prefix)} if (prefix / "include/node/node.h").exists() else {}
