"""What is loaded by whom: web and worker run all day, and need little of what the verbs need."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from connector.cli import main
from connector.unloaded import without

FOR_PEOPLE = ("connector.daily_verbs", "connector.openapi", "connector.terminal", "rich")
FOR_NOBODY = ("charset_normalizer", "colorama", "pygments", "redis.asyncio.client")
FOR_WORK = ("connector.mapping.load", "connector.reconcile", "greenlet", "requests")


def loaded(statements: str) -> list[str]:
    code = f"import sys; {statements}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [name for name in (*FOR_PEOPLE, *FOR_NOBODY, *FOR_WORK) if name in done.stdout.split()]


def test_processes_load_nothing_for_people() -> None:
    assert loaded("import connector.cli, connector.worker") == list(FOR_WORK)


def test_the_web_process_loads_neither_what_maps_nor_what_delivers() -> None:
    assert loaded("import connector.cli, connector.web, connector.serving") == []


@pytest.mark.parametrize(
    "statement",
    [
        "import redis; redis.asyncio.Redis",
        "import redis.asyncio; redis.asyncio.client.Redis, redis.asyncio.Redis",
        "import redis.asyncio.client; redis.asyncio.Redis, redis.asyncio.cluster.RedisCluster",
        "from redis.asyncio import Redis, RedisCluster",
        "from redis.asyncio.client import Pipeline; from redis.asyncio.cluster import ClusterNode",
        "from redis.asyncio.observability import recorder; from redis.asyncio import lock",
        "import redis.asyncio as r; assert issubclass(r.client.Pipeline, r.Redis); r.lock.Lock",
        "import inspect; inspect.getmodule(inspect.stack()[0][0])",
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_was_put_off_is_there_for_who_asks(when: str, statement: str) -> None:
    ours = "import sys, connector.web, connector.worker"
    lines = f"{ours}\n{statement}" if when == "after" else f"{statement}\n{ours}"
    ask = "import asyncio, redis.asyncio as r\nassert asyncio.iscoroutinefunction(r.Redis.aclose)"
    subprocess.run([sys.executable, "-c", f"{lines}\n{ask}"], check=True)


def test_what_is_not_to_be_found_is_found_again_afterwards() -> None:
    import colorsys as before

    with without("colorsys", "wave", "no such module"), pytest.raises(ImportError):
        import colorsys
    with without("colorsys", "wave", "no such module"), pytest.raises(ImportError):
        import wave
    import colorsys
    import wave

    assert colorsys is before
    assert wave.Wave_read
    assert "no such module" not in sys.modules


def test_a_verb_is_found_although_it_is_loaded_late() -> None:
    code = "from connector.cli import main; main(['dead', '--help'], 'c', standalone_mode=False)"
    assert "connector.daily_verbs" in loaded(code)


def test_help_lists_processes_and_verbs() -> None:
    context = click.Context(main)
    names = main.list_commands(context)
    assert {"web", "worker", "demo", "mappings", "replay", "status"} <= set(names)
    assert names == sorted(names)
    assert all(main.get_command(context, name) is not None for name in names)
    assert main.get_command(context, "wrok") is None
