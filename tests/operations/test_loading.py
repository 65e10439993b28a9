"""What is loaded by whom: web and worker run all day, and need little of what the verbs need."""

from __future__ import annotations

import subprocess
import sys

import click

from connector.cli import main

FOR_PEOPLE = ("connector.daily_verbs", "connector.openapi", "connector.terminal", "rich")
FOR_WORK = ("connector.mapping.load", "connector.reconcile", "requests")


def loaded(statements: str) -> list[str]:
    code = f"import sys; {statements}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [name for name in (*FOR_PEOPLE, *FOR_WORK) if name in done.stdout.split()]


def test_processes_load_nothing_for_people() -> None:
    assert loaded("import connector.cli, connector.worker") == list(FOR_WORK)


def test_the_web_process_loads_neither_what_maps_nor_what_delivers() -> None:
    assert loaded("import connector.cli, connector.web, connector.serving") == []


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
