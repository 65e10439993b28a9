"""`connector mappings plan | publish | versions | diff | rollback`, as an editor types them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from click.testing import CliRunner
from office import Office, rule

from connector import release
from connector.assemble import ensure_in_force
from connector.cli import main
from connector.mapping import published
from connector.mapping.published import Note, Superseded
from connector.replay import Replay

SUBJECT = "ticket.ticket_subject"
LOUD = rule(subject=f"upper({SUBJECT})")
FAILING_TEST = """\
tests:
  - name: a subject is kept
    event: {object: ticket, action: update, ticket: {ticket_id: 1, ticket_subject: a}}
    expect: [{fields: {subject: a}}]
"""


def number(office: Office) -> int | None:
    return published.number_in_force(office.client)


@pytest.fixture
def worked(office: Office) -> Office:
    """Two tickets in the CRM, and an edit that changes one of them."""
    office.send(1, ticket_subject="one")
    office.send(2, ticket_subject="TWO")
    office.work()
    office.write("tickets.yaml", LOUD)
    return office


# --- publish


def test_publish_shows_the_summary_asks_and_puts_the_folder_into_force(worked: Office) -> None:
    shown = worked.run("publish", "-m", "louder", answer="y\n").output
    assert "0 created, 1 changed, 0 deleted; 1 calls" in shown
    assert '"one" → "ONE"  (1)' in shown
    assert number(worked) == 2
    version = published.version(worked.client, 2)
    assert version
    assert version.note == Note("lan", "louder")
    assert worked.values("tickets", "1") == {"subject": "one"}  # until somebody replays


def test_who_says_no_publishes_nothing(worked: Office) -> None:
    worked.run("publish", answer="n\n", code=1)
    worked.run("publish", code=2)  # nobody there to answer
    assert number(worked) == 1


def test_what_is_in_force_is_not_published_again(worked: Office) -> None:
    worked.run("publish", "--yes")
    again = worked.run("publish", "--yes")
    assert "the folder holds what is in force: mapping set 2" in again.output
    assert worked.json("publish", "--yes")["published"] is False
    assert number(worked) == 2


def test_a_broken_folder_is_not_published(worked: Office) -> None:
    worked.write("tickets.yaml", LOUD.replace("upper(", "uper("))
    shown = worked.run("publish", "--yes", code=1)
    assert re.search(r"tickets\.yaml:8:\d+: .*uper", shown.stderr)
    assert number(worked) == 1


def test_a_folder_whose_tests_fail_is_not_published(worked: Office) -> None:
    worked.write("tickets.yaml", LOUD + FAILING_TEST)
    shown = worked.run("publish", "--yes", code=1)
    assert "a subject is kept" in shown.stderr
    assert "1 of 1 tests failed" in shown.stderr
    assert number(worked) == 1
    worked.run("plan", "--apply", "--yes", code=1)
    assert number(worked) == 1


def test_the_first_set_is_published_without_a_plan(office: Office) -> None:
    answer = office.json("publish", "--yes", "--author", "Hoa")
    assert (answer["number"], answer["plan"]) == (1, None)
    assert office.json("versions")["versions"][0]["author"] == "Hoa"


def test_publish_as_json_is_one_document_with_the_plan(worked: Office) -> None:
    answer = worked.json("publish", "--yes")
    assert answer["number"] == 2
    assert answer["plan"]["records"]["changed"] == [
        {"target": "crm", "resource": "tickets", "id": "1"}
    ]
    worked.write("tickets.yaml", rule(subject="ticket.x"))
    assert worked.json("publish", "--yes", "--no-plan")["plan"] is None


def test_what_somebody_published_meanwhile_is_not_undone_unseen(
    worked: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*_: object) -> list[object]:
        worked.write("tickets.yaml", rule(subject="ticket.other"))
        worked.put()
        return []

    monkeypatch.setattr(release, "failed_tests", meanwhile)
    shown = worked.run("publish", "--yes", "--no-plan", code=2)
    assert "mapping set 2 came into force meanwhile" in shown.stderr
    assert number(worked) == 2


# --- plan


def test_plan_prints_what_would_change(worked: Office) -> None:
    shown = worked.run("plan").stdout
    assert "changed: tickets 1" in shown
    assert re.search(r"tickets +subject +1 +\"one\" → \"ONE\"", shown)
    worked.write("tickets.yaml", rule(subject=SUBJECT))
    assert "nothing would change" in worked.run("plan").stdout


def test_plan_as_json(worked: Office) -> None:
    answer = worked.json("plan")
    record = {"target": "crm", "resource": "tickets", "id": "1"}
    assert answer["events"] == 2
    assert answer["records"] == {"created": [], "changed": [record], "deleted": []}
    (effect,) = answer["fields"]
    assert (effect["resource"], effect["field"], effect["records"]) == ("tickets", "subject", 1)
    assert effect["examples"] == [
        {"id": "1", "before": "one", "after": "ONE", "had": True, "has": True}
    ]
    assert (answer["newly_failing"], answer["newly_passing"], answer["calls"]) == ([], [], 1)


def test_plan_exits_with_1_when_events_would_newly_fail(worked: Office) -> None:
    worked.write("tickets.yaml", rule(subject=f"integer({SUBJECT})"))
    answer = worked.json("plan", code=1)
    assert len(answer["newly_failing"]) == 2
    error = answer["newly_failing"][0]["error"]
    assert error["file"].endswith("tickets.yaml")
    assert error["line"] == 8
    assert "2 ticket.update would fail, and pass now" in worked.run("plan", code=1).stdout


def test_plan_of_a_broken_folder_cannot_run(worked: Office) -> None:
    worked.write("tickets.yaml", "source: [")
    worked.run("plan", code=2)


def test_plan_takes_one_record_and_a_kind(worked: Office) -> None:
    assert worked.json("plan", "--record", "tickets", "2")["events"] == 1
    assert worked.json("plan", "--kind", "ticket.create")["events"] == 0
    assert worked.json("plan", "--since", "2h", "--limit", "1")["events"] == 1


def test_plan_applied_publishes_and_replays_what_would_change(worked: Office) -> None:
    shown = worked.run("plan", "--apply", answer="y\n").output
    assert "Publish the folder, and replay 1 events?" in shown
    assert number(worked) == 2
    worked.work()
    assert worked.values("tickets", "1") == {"subject": "ONE"}
    assert worked.json("plan")["fields"] == []


def test_plan_applied_replays_what_came_under_the_old_set_while_it_was_made(
    worked: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*_: object) -> list[object]:
        worked.send(3, ticket_subject="three")
        worked.work()
        return []

    monkeypatch.setattr(release, "failed_tests", meanwhile)
    answer = worked.json("plan", "--apply", "--yes")
    assert (answer["events"], answer["published"], answer["replayed"]) == (2, 2, 2)
    assert worked.values("tickets", "3") == {"subject": "THREE"}


# --- versions, diff, rollback


@pytest.fixture
def three(office: Office) -> Office:
    """Versions 1 and 2, and a folder that was edited after them."""
    office.run("publish", "--yes", "-m", "first", "--author", "Hoa")
    office.write("tickets.yaml", LOUD)
    office.write("tables/channels.yaml", "a: b\n")
    office.run("publish", "--yes", "-m", "second")
    office.write("tickets.yaml", rule(subject="ticket.third"))
    return office


def test_versions_tell_who_when_and_why(three: Office) -> None:
    known = three.json("versions")["versions"]
    assert [(v["number"], v["author"], v["message"], v["in_force"]) for v in known] == [
        (2, "lan", "second", True),
        (1, "Hoa", "first", False),
    ]
    assert all(len(v["hash"]) == 64 and v["at"].endswith("Z") for v in known)
    assert re.search(r"1 +20.*Hoa +first", three.run("versions").stdout)


def test_diff_compares_versions_and_the_folder_file_by_file(three: Office) -> None:
    shown = three.run("diff", "1", "2").stdout
    assert "--- 1/tickets.yaml" in shown
    assert "+++ 2/tickets.yaml" in shown
    assert f"-      subject: {SUBJECT}" in shown
    assert f"+      subject: upper({SUBJECT})" in shown
    answer = three.json("diff", "2", "folder")
    assert [(f["file"], f["status"]) for f in answer["files"]] == [("tickets.yaml", "changed")]
    assert three.json("diff") == answer
    tables = three.json("diff", "1", "2")["files"][0]
    assert (tables["file"], tables["status"]) == ("tables/channels.yaml", "added")


def test_diff_of_a_broken_folder_works_and_an_unknown_version_does_not(three: Office) -> None:
    three.write("tickets.yaml", "source: [")
    assert "+source: [" in three.run("diff", "2", "folder").stdout
    assert "hold the same" in three.run("diff", "2", "2").stdout
    assert "no mapping set '9'" in three.run("diff", "9", "2", code=2).stderr
    three.run("diff", "x", "2", code=2)


def test_rollback_gives_the_old_texts_a_new_number_and_says_so(three: Office) -> None:
    shown = three.run("rollback", "-m", "too loud").stdout
    assert "mapping set 3 is in force: the texts of 1" in shown
    assert "the next publish puts those into force" in shown
    known = three.json("versions")["versions"]
    assert (known[0]["number"], known[0]["back_to"], known[0]["message"]) == (3, 1, "too loud")
    assert known[0]["hash"] == known[2]["hash"]
    assert "back to 1: too loud" in three.run("versions").stdout
    assert three.json("diff", "1", "3")["files"] == []


def test_rollback_to_a_number_and_twice(three: Office) -> None:
    assert three.json("rollback", "1")["number"] == 3
    assert three.json("rollback")["back_to"] == 2
    assert number(three) == 4
    assert three.json("rollback", "2") == {"number": 4, "back_to": 2, "published": False}
    three.run("rollback", "9", code=2)


def test_there_is_nothing_to_roll_back_to_before_the_second_set(office: Office) -> None:
    office.run("rollback", code=2)
    office.run("publish", "--yes")
    office.run("rollback", code=2)


def test_a_set_that_no_longer_fits_the_configuration_is_not_put_back(three: Office) -> None:
    config = three.folder / "config.yaml"
    config.write_text(config.read_text().replace("caresoft: {", "branch: {"))
    three.write("tickets.yaml", LOUD.replace("source: caresoft", "source: branch"))
    three.run("publish", "--yes")
    config.write_text(config.read_text().replace("branch: {", "caresoft: {"))
    three.write("tickets.yaml", rule(subject="ticket.fourth"))
    three.run("publish", "--yes")
    shown = three.run("rollback", code=1)
    assert "there is no source 'branch'" in shown.stderr
    assert "set 3 cannot be used with the configuration of today" in shown.stderr
    assert number(three) == 4


def test_a_rollback_stays_over_a_restart(three: Office) -> None:
    three.run("rollback")
    assert ensure_in_force(three.config, three.client) == 3


# --- how the folder stands


def test_status_says_whether_the_folder_is_in_force(three: Office) -> None:
    now = release.standing(three.config, three.client)
    assert (now.number, now.same, now.files) == (2, False, ("tickets.yaml",))
    assert "differs, and takes effect when it is published: tickets.yaml" in str(now)
    three.write("tickets.yaml", "source: [")
    assert re.search(r"broken .*tickets\.yaml:1", str(release.standing(three.config, three.client)))
    three.write("tickets.yaml", LOUD)
    assert str(release.standing(three.config, three.client)) == (
        "the mappings folder holds the same"
    )
    three.configure(timezone="UTC")
    assert str(release.standing(three.config, three.client)).endswith("the time zone")


def test_status_before_anything_is_in_force(office: Office) -> None:
    now = release.standing(office.config, office.client)
    assert (now.number, now.same, now.version) == (0, False, None)
    assert "when a web or worker process starts" in str(now)


@pytest.mark.parametrize("command", [["--kind", "ticket.update"], ["--rebuild", "tickets", "1"]])
def test_a_replay_that_gives_way_to_another_set_says_so(
    worked: Office, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    def give_way(*_: Any) -> None:
        raise Superseded("mapping set 1 is in force no more; replay again")

    monkeypatch.setattr(Replay, "events", give_way)
    monkeypatch.setattr(Replay, "rebuild", give_way)
    environ = {"CONNECTOR_CONFIG": str(worked.folder / "config.yaml")}
    result = CliRunner().invoke(main, ["replay", *command], env=environ)
    assert result.exit_code == 2
    assert result.stderr == "mapping set 1 is in force no more; replay again\n"
