"""Edits of the mappings that nobody has published yet: one draft for each person.

Keys:

    c:draft:<who>  hash   `base` → number of the set that it began from; `f:<file>` → its text

Invariant: a draft changes nothing; it is the set in force with some files written anew, and it is
forgotten two weeks after the last edit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from connector.redisdb import PREFIX, Redis

KEPT_SECONDS = 14 * 86_400
_BASE, _FILE = b"base", b"f:"

_NAME = re.compile(r"(?:tables/)?[A-Za-z0-9][\w-]{0,63}\.yaml", re.ASCII)


@dataclass(frozen=True, slots=True)
class Draft:
    """`base`: the number of the set that it began from. `texts`: the files written anew."""

    base: int
    texts: Mapping[str, str]

    def over(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The files of a set as the draft has them."""
        return {**texts, **self.texts}


def is_file_name(name: str) -> bool:
    """Whether a file of a set may be called so: in the folder itself, or in `tables/`."""
    return bool(_NAME.fullmatch(name))


def read(client: Redis, who: str) -> Draft | None:
    """The person's draft; None without one."""
    kept = client.hgetall(_key(who))
    if not kept:
        return None
    texts = {
        name[len(_FILE) :].decode(): text.decode()
        for name, text in kept.items()
        if name.startswith(_FILE)
    }
    return Draft(int(kept.get(_BASE, 0)), texts)


def write(client: Redis, who: str, base: int, file: str, text: str) -> None:
    """Keep a file as the person has written it; a draft that there was keeps its base."""
    pipe = client.pipeline(transaction=True)
    pipe.hsetnx(_key(who), _BASE, base)
    pipe.hset(_key(who), _FILE + file.encode(), text)
    pipe.expire(_key(who), KEPT_SECONDS)
    pipe.execute()


def discard(client: Redis, who: str) -> None:
    """Forget the draft."""
    client.delete(_key(who))


def _key(who: str) -> str:
    return f"{PREFIX}draft:{quote(who, safe='@')}"
