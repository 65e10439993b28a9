"""`connector audit` and `connector user hash`: who did what, and a password made fit to keep.

As `cli`: parses, calls a room, prints.
"""

from __future__ import annotations

import os
import sys

import click

from connector import accounts, audit, release, reports
from connector.audit import Action
from connector.redisdb import Redis
from connector.terminal import print_json, print_table
from connector.verbs import configuration, fail, open_redis

SHELL = "shell"
"""Where an action came from that was not done in the dashboard."""


def noted(
    client: Redis, action: Action, what: str, detail: str = "", author: str | None = None
) -> None:
    """Note what somebody did on the command line; `author` None: whoever runs it."""
    who = author or release.author(os.environ) or "somebody"
    audit.note(client, configuration().audit, who, action, what, detail, SHELL)


def add_to(group: click.Group) -> None:
    """Make these verbs part of `connector`."""
    group.add_command(audit_verb)
    group.add_command(user)


@click.command("audit")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=100,
    show_default=True,
    help="At most so many; 0: all.",
)
@click.option("--json", "json_", is_flag=True, help="Print JSON for programs.")
def audit_verb(limit: int, json_: bool) -> None:
    """What people did in the dashboard and on the command line, the latest first."""
    entries = audit.entries(open_redis(), limit)
    rows = [{"at": reports.iso(entry.at), **entry.to_json()} for entry in entries]
    if json_:
        print_json({"audit": rows})
        return
    print_table(
        ["at", "who", "did", "to what", "more", "from"],
        ((r["at"], r["who"], r["action"], r["what"], r["detail"], r["address"]) for r in rows),
    )


@click.group("user")
def user() -> None:
    """The people who may sign in to the dashboard (`users:` in config.yaml)."""


@user.command("hash")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the password from standard input.")
def user_hash(from_stdin: bool) -> None:
    """Ask for a password and print its hash, which goes into config.yaml or the environment."""
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if len(password) < SHORTEST:
        fail(f"a password has at least {SHORTEST} characters")
    sys.stdout.write(f"{accounts.hash_password(password)}\n")


SHORTEST = 10
"""Characters of a password; length is what makes one strong (NIST SP 800-63B section 3.1.1.2)."""
