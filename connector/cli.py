"""The `connector` command: its processes, and the verbs for people.

Invariant: a process loads no verb, nor what verbs print with: 6 MiB of the 50 that it would take.

Exit codes: 0 fine; 1 it found something wrong; 2 it could not run.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import click

from connector import __version__, logs
from connector.errors import MappingInvalid, RedisUnfit
from connector.verbs import COULD_NOT_RUN, configuration, fail


class _Verbs(click.Group):
    """Loads the verbs for people when it is asked for one that is not its own."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or _others().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RedisUnfit as error:
            fail(str(error))

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_others().list_commands(ctx)})


def _others() -> click.Group:
    from connector.daily_verbs import verbs

    return verbs


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="crm-connector")
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    help="Instead of $CONNECTOR_CONFIG or config.yaml.",
)
@click.option("--verbose", "-v", is_flag=True, help="Say more.")
def main(path: Path | None, verbose: bool) -> None:
    """Bring what happens in CareSoft and Mobio into your own CRM."""
    if path is not None:
        os.environ["CONNECTOR_CONFIG"] = str(path)
    logs.start(logging.DEBUG if verbose else logging.INFO)


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=int, envvar="PORT", default=8000, show_default=True, help="Also $PORT."
)
def web(host: str, port: int) -> None:
    """The web process: receives webhooks, answers health checks, shows the dashboard."""
    from connector.web import serve

    serve(configuration(), host, port)


@main.command()
@click.option(
    "--threads",
    type=click.IntRange(1, 512),
    help="Calls made at the same time.  [default: the targets' concurrency]",
)
@click.option("--burst", is_flag=True, help="End when nothing is left to do now.")
def worker(threads: int | None, burst: bool) -> None:
    """The worker process: maps events and brings the CRM up to date."""
    from connector.worker import Worker, settle_in

    process = Worker(configuration(), threads)
    process.catch_signals()
    settle_in()
    try:
        process.run(burst=burst)
    except MappingInvalid as error:
        from connector.terminal import print_problems

        print_problems(error.problems, "red", "error")
        sys.exit(COULD_NOT_RUN)
