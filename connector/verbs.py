"""What the verbs of the command line share: the configuration, Redis, and how they give up.

What cannot go on is told on standard error and ends the process with 2 (`COULD_NOT_RUN`). What
that is told with is loaded only then: web and worker come by here, too.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from redis.exceptions import RedisError

from connector import logs
from connector.config import Config
from connector.config import load as load_config
from connector.errors import ConfigInvalid
from connector.mapping.published import Superseded
from connector.redaction import secrets_of
from connector.redisdb import Redis, connect

FOUND_WRONG, COULD_NOT_RUN = 1, 2


def configuration() -> Config:
    """The whole configuration; its secrets stay out of the logs from here on."""
    try:
        loaded = load_config()
    except ConfigInvalid as error:
        from connector.terminal import print_problems

        print_problems(error.problems, "bold red", "error", lines=False)
        sys.exit(COULD_NOT_RUN)
    logs.hide(secrets_of(loaded))
    return loaded


def open_redis(url: str | None = None) -> Redis:
    """The Redis at `url`, by default that of the configuration, which is there."""
    client = connect(url or configuration().redis_url)
    try:
        client.ping()
    except RedisError as error:
        fail(f"Redis cannot be reached: {error}")
    return client


@contextmanager
def under_one_set() -> Iterator[None]:
    """Around a replay: it gives way to a mapping set that comes into force meanwhile."""
    try:
        yield
    except Superseded as error:
        fail(str(error))


def fail(why: str, code: int = COULD_NOT_RUN) -> NoReturn:
    """Says why it cannot go on, and ends the process."""
    from connector.terminal import complain

    complain(why)
    sys.exit(code)
