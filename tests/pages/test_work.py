"""What the pages do, without a browser: through the rooms, noted in the audit log."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from desk import Desk

from connector import accounts, audit, drafts, journal, series
from connector.cli import main
from connector.config import Audit, Secret, User
from connector.dashboard import catalogue, charts
from connector.dashboard.masking import HIDDEN, masked, masked_answer, masked_text
from connector.mapping import published
from connector.redisdb import connect
from connector.series import Point, Sample, quantile, rates, values

TICKET = b'{"object": "ticket", "action": "update", "ticket": {"ticket_id": 5, "updated_at": 9}}'


def edit(desk: Desk, old: str, new: str, file: str = "tickets.yaml") -> None:
    """Changes a file of the draft."""
    text = (desk.folder / "mappings" / file).read_text()
    assert old in text
    data = {"file": file, "text": text.replace(old, new, 1)}
    assert desk.post("/mappings/save", data).status_code == 302


def form(page: str, action: str) -> dict[str, str]:
    """The hidden fields of a form."""
    found = re.search(rf'<form[^>]*action="{action}".*?</form>', page, re.DOTALL)
    assert found, page
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', found[0]))


# --- publishing


def test_what_is_published_is_what_was_shown(desk: Desk) -> None:
    desk.sign_in()
    desk.receive(TICKET)
    edit(desk, "subject: ", "subject_line: ticket.ticket_subject\n      subject: ")
    shown = form(desk.get("/mappings/publish").text, "/mappings/publish")
    edit(desk, "subject: ", "other: ticket.ticket_subject\n      subject: ")
    answer = desk.post("/mappings/publish", shown)
    assert answer.location == "/mappings/publish"
    assert published.number_in_force(desk.redis) == 1
    shown = form(desk.get("/mappings/publish").text, "/mappings/publish")
    desk.post("/mappings/publish", {**shown, "message": "why"})
    assert published.number_in_force(desk.redis) == 2
    assert drafts.read(desk.redis, "mai") is None
    version = published.version(desk.redis, 2)
    assert version is not None
    assert (version.note.author, version.note.message) == ("mai", "why")
    assert [(e.who, e.action, e.what) for e in audit.entries(desk.redis, 1)] == [
        ("mai", "publish", "mapping set 2")
    ]


def test_a_draft_of_an_older_set_is_not_published(desk: Desk) -> None:
    desk.sign_in()
    desk.receive(TICKET)
    edit(desk, "subject: ", "subject_line: ticket.ticket_subject\n      subject: ")
    shown = form(desk.get("/mappings/publish").text, "/mappings/publish")
    other = Desk(desk.folder, desk.redis_url, desk.users.replace("operator", "editor"))
    other.sign_in("lan")
    edit(other, "subject: ", "another: ticket.ticket_subject\n      subject: ")
    theirs = form(other.get("/mappings/publish").text, "/mappings/publish")
    other.post("/mappings/publish", theirs)
    other.close()
    assert published.number_in_force(desk.redis) == 2
    desk._client = None
    desk.users = other.users
    desk.sign_in()
    desk.post("/mappings/publish", shown)
    assert published.number_in_force(desk.redis) == 2
    assert "came into force after this draft" in desk.get("/mappings/publish").text


def test_a_broken_draft_or_one_whose_tests_fail_is_not_published(desk: Desk) -> None:
    desk.sign_in()
    desk.receive(TICKET)
    for old, new in (("source: caresoft", "source: caersoft"), ("subject: ", "subjekt: ")):
        desk.post("/mappings/discard")
        edit(desk, old, new)
        page = desk.get("/mappings/publish").text
        assert 'name="hash"' not in page
        from connector.mapping.ruleset import set_hash

        draft = drafts.read(desk.redis, "mai")
        kept = published.read(desk.redis, 1)
        assert draft
        assert kept
        forced = set_hash(draft.over(kept.texts), desk.config.timezone)
        desk.post("/mappings/publish", {"hash": forced})
        assert published.number_in_force(desk.redis) == 1


def test_the_folder_is_written_only_where_that_is_asked_for(desk: Desk) -> None:
    desk.sign_in()
    desk.receive(TICKET)
    file = desk.folder / "mappings" / "tickets.yaml"
    before = file.read_text()
    for asked in ({}, {"folder": "yes"}):
        word = "one" if not asked else "two"
        edit(desk, "subject: ", f"{word}: ticket.ticket_subject\n      subject: ")
        shown = form(desk.get("/mappings/publish").text, "/mappings/publish")
        desk.post("/mappings/publish", {**shown, **asked})
        assert (file.read_text() == before) == (not asked)
    assert "two: ticket.ticket_subject" in file.read_text()
    assert [path.name for path in file.parent.glob(".*")] == []


def test_a_folder_that_cannot_be_written_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    desk.sign_in()
    desk.receive(TICKET)
    edit(desk, "subject: ", "line: ticket.ticket_subject\n      subject: ")
    page = desk.get("/mappings/publish").text
    assert "the set in Redis is what counts" in page
    assert 'name="folder"' not in page


def test_an_edit_is_tried_on_a_kept_event_beside_what_the_record_holds(desk: Desk) -> None:
    desk.sign_in()
    body = {
        "object": "ticket",
        "action": "update",
        "ticket": {"ticket_id": 5, "updated_at": 9, "ticket_status": "open"},
    }
    entry = desk.receive(json.dumps(body).encode())
    text = (desk.folder / "mappings" / "tickets.yaml").read_text()
    data = {"file": "tickets.yaml", "text": text, "event": str(entry.serial)}
    page = desk.post("/mappings/preview", data).text
    assert "the same" in page
    assert "not sent yet" in page  # no worker has delivered it
    changed = text.replace("subject: ", "more: ticket.ticket_id\n      subject: ", 1)
    page = desk.post("/mappings/preview", {**data, "text": changed}).text
    assert re.search(r"<code>more</code>.*?5.*?nothing", page, re.DOTALL)


def test_an_edit_is_tried_on_real_data_only_where_that_is_asked_for_and_noted(desk: Desk) -> None:
    desk.sign_in()
    body = {
        "object": "ticket",
        "action": "update",
        "ticket": {"ticket_id": 5, "updated_at": 9, "ticket_subject": "about Hà"},
    }
    entry = desk.receive(json.dumps(body).encode())
    text = (desk.folder / "mappings" / "tickets.yaml").read_text()
    data = {"file": "tickets.yaml", "text": text, "event": str(entry.serial)}
    assert "about Hà" not in desk.post("/mappings/preview", data).text
    for _ in range(3):
        assert "about Hà" in desk.post("/mappings/preview", {**data, "reveal": "yes"}).text
    done = [(e.action, e.what) for e in audit.entries(desk.redis)]
    assert done.count(("reveal", f"event {entry.event.id}")) == 1


# --- doing


def test_replaying_and_revealing_are_noted_with_who_and_what(desk: Desk) -> None:
    desk.sign_in("lan")
    entry = desk.receive(TICKET)
    desk.post(f"/events/{entry.serial}/replay")
    desk.post(f"/events/{entry.serial}/reveal")
    desk.post("/records/reveal", {"target": "crm", "resource": "tickets", "id": "5"})
    noted = [(e.who, e.action, e.what) for e in audit.entries(desk.redis, 3)]
    assert noted == [
        ("lan", "reveal", "record crm/tickets/5"),
        ("lan", "reveal", f"event {entry.event.id}"),
        ("lan", "replay", f"event {entry.event.id}"),
    ]


def test_a_whole_group_of_dead_letters_is_dropped_with_its_reason(desk: Desk) -> None:
    desk.sign_in("lan")
    for number in range(3):
        desk.receive(b"[%d]" % number)
    page = desk.get("/dead").text
    group = re.search(r'name="group" value="(\w+)"', page)
    assert group
    assert "Drop 3 dead letters?" in desk.post("/dead/ask-drop", {"group": group[1]}).text
    assert "3 dead letters dropped" not in desk.post("/dead/drop", {"group": group[1]}).text
    assert desk.redis.zcard("c:dead") == 3  # without a reason nothing is dropped
    desk.post("/dead/drop", {"group": group[1], "why": "only tests"})
    assert desk.redis.zcard("c:dead") == 0
    entry = next(journal.newest_first(desk.redis))
    assert entry.problem
    assert "only tests" in entry.problem.hint


def test_personal_data_is_hidden_in_records_and_events_alike(desk: Desk) -> None:
    desk.sign_in("vy")
    person = {"id": 77, "username": "Nguyễn Văn A", "email": "a@b.vn", "phone_no": "0912345678"}
    body = {"object": "user", "action": "update", "user": {**person, "updated_at": 5}}
    entry = desk.receive(json.dumps(body).encode())
    for touched in entry.touched:
        where = {"target": "crm", "resource": touched.name.resource, "id": touched.name.id}
        page = desk.get("/records/one", query_string=where).text
        assert HIDDEN in page
        assert "a@b.vn" not in page
    page = desk.get(f"/events/{entry.serial}").text
    assert HIDDEN in page
    for secret in ("Nguyễn", "a@b.vn", "912345678"):
        assert secret not in page


# --- masking


def test_masking_keeps_keys_ids_and_times() -> None:
    body = {"ticket": {"ticket_id": 5, "username": "Mai", "updated_at": 9, "tags": ["a@b.vn"]}}
    assert masked(body) == {
        "ticket": {"ticket_id": 5, "username": HIDDEN, "updated_at": 9, "tags": [HIDDEN]}
    }
    assert (
        masked_text("taken by a@b.vn, +84912345678, id 5") == f"taken by {HIDDEN}, {HIDDEN}, id 5"
    )
    assert json.loads(masked_answer('{"email": "a@b.vn", "id": 5}')) == {"email": HIDDEN, "id": 5}
    assert masked_answer('{"email": "a@b.vn", "na') == HIDDEN


# --- audit


def test_the_audit_log_is_bounded_and_guesses_push_nobody_out(redis_url: str) -> None:
    client = connect(redis_url)
    kept = Audit(days=1, entries=5)
    for number in range(8):
        audit.note(client, kept, "mai", "replay", f"event {number}")
    for _ in range(20):
        audit.note(client, kept, "?", "sign_in_refused", address="203.0.113.7")
    found = [e for e in audit.entries(client) if e.action == "replay"]
    assert [e.what for e in found] == [f"event {n}" for n in (7, 6, 5, 4, 3)]
    client.zadd("c:audit", {client.zrange("c:audit", 0, 0)[0]: 1})  # long ago
    audit.note(client, kept, "mai", "pause", "target crm")
    assert [e.what for e in audit.entries(client) if e.who == "mai"][-1] == "event 4"


def test_the_audit_verb_prints_what_was_done(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.sign_in("lan")
    desk.post("/targets/crm/pause")
    monkeypatch.setenv("CONNECTOR_CONFIG", str(desk.folder / "config.yaml"))
    done = CliRunner().invoke(main, ["audit", "--json"])
    rows = json.loads(done.stdout)["audit"]
    assert [(r["who"], r["action"], r["what"]) for r in rows] == [
        ("lan", "pause", "target crm"),
        ("lan", "sign_in", ""),
    ]
    assert rows[0]["address"] == "127.0.0.1"
    assert "pause" in CliRunner().invoke(main, ["audit"]).stdout


def test_what_is_done_by_a_command_is_noted_too(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.sign_in()
    desk.receive(TICKET)
    desk.receive(b"[1]")
    monkeypatch.setenv("CONNECTOR_CONFIG", str(desk.folder / "config.yaml"))
    monkeypatch.setenv("USER", "thu")
    for command in (
        ["targets", "pause", "crm"],
        ["targets", "resume", "crm"],
        ["replay", "--since", "1d"],
        ["dead", "retry", "--all"],
        ["dead", "drop", "--all", "--why", "a test"],
        ["mappings", "publish", "--yes"],
    ):
        file = desk.folder / "mappings" / "tickets.yaml"
        if "publish" in command:
            file.write_text(f"{file.read_text()}# another set\n")
        assert CliRunner().invoke(main, command).exit_code in (0, 1)
    done = [(e.who, e.action, e.address) for e in audit.entries(desk.redis, 6)]
    actions = ("publish", "drop", "retry", "replay", "resume", "pause")
    assert done == [("thu", action, "shell") for action in actions]


def test_a_hash_is_made_of_a_password_and_nothing_else_is_printed() -> None:
    done = CliRunner().invoke(main, ["user", "hash", "--stdin"], input="a long password\n")
    assert done.exit_code == 0
    hashed = done.stdout.strip()
    user = User("mai", Secret(hashed), "viewer")
    assert accounts.matches(user, "a long password")
    assert not accounts.matches(user, "another one")
    assert CliRunner().invoke(main, ["user", "hash", "--stdin"], input="short\n").exit_code == 2


# --- charts and series


def test_samples_keep_what_the_charts_show_and_no_more() -> None:
    totals = {
        '["connector_accepted_total","caresoft"]': 7.0,
        '["connector_deliveries_total","crm","tickets","done"]': 3.0,
        '["connector_deliveries_total","crm","leads","done"]': 2.0,
        '["connector_deliveries_total","crm","leads","refused"]': 9.0,
        '["connector_ack_seconds_bucket","caresoft","0.005"]': 6.0,
        '["connector_spooled_total"]': 1.0,
    }
    gauges = {"connector_records_waiting": {("crm",): 4.0}, "connector_dead_letters": {(): 2.0}}
    assert values(totals, gauges) == {
        "accepted:caresoft": 7.0,
        "delivered:crm": 5.0,
        "ack:caresoft:0.005": 6.0,
        "waiting:crm": 4.0,
        "dead": 2.0,
    }


def test_rates_are_differences_and_a_gap_stays_one() -> None:
    samples = [
        Sample(1, {"a": 5}),
        Sample(2, {"a": 8}),
        Sample(3, {}),
        Sample(4, {"a": 9}),
        Sample(5, {"a": 2}),
    ]
    assert [point.value for point in rates(samples, "a")] == [3, None, None, 2]


def test_a_day_counts_from_the_first_minute_of_a_new_installation(redis_url: str) -> None:
    client = connect(redis_url)
    for minute, total in ((1003, 0), (1004, 80), (1012, 90)):
        series.take(client, minute, {"a": total, "b": 1})
    day = series.read(client, 1440, series.TENS, end=1013)
    hour = series.read(client, 60, 1, end=1013)
    assert (series.total(day, "a"), series.total(hour, "a")) == (90, 90)
    assert [sample.minute for sample in hour if sample.values] == [1003, 1004, 1012]


def test_a_quantile_lies_within_its_bucket() -> None:
    before = Sample(1, {"ack:x:0.01": 0, "ack:x:0.1": 0, "ack:x:+Inf": 0})
    after = Sample(2, {"ack:x:0.01": 90, "ack:x:0.1": 100, "ack:x:+Inf": 100})
    assert quantile(before, after, ["ack:x:"], 0.5) == pytest.approx(0.01 * 50 / 90)
    assert quantile(before, after, ["ack:x:"], 0.95) == pytest.approx(0.055)
    assert quantile(before, before, ["ack:x:"], 0.5) is None


def test_a_chart_says_in_words_what_it_shows_and_escapes_names() -> None:
    from zoneinfo import ZoneInfo

    frame = charts.Frame(ZoneInfo("UTC"), str)
    lines = {"<b>": [Point(1, 3.0), Point(2, None)]}
    for draw in (charts.columns, charts.curves):
        svg = draw(lines, 'at most "3"', frame)
        assert "at most &#34;3&#34;" in svg
        assert "<b>" not in svg
        assert "style=" not in svg


def test_a_sample_is_taken_each_minute_by_the_web_process(desk: Desk) -> None:
    from system import wait_for

    desk.get("/login")
    wait_for(lambda: desk.redis.keys("c:series:*"), "the first sample")
    key = desk.redis.keys("c:series:[0-9]*")[0]
    assert "waiting:crm" in json.loads(desk.redis.get(key))
    assert desk.redis.ttl(key) > 86_400


# --- words


def test_the_translations_are_whole_and_compiled() -> None:
    catalog = catalogue.translated()
    known = {message.id: message for message in catalog if message.id}
    wanted = {message.id for message in catalogue.found() if message.id}
    how = "run python -m connector.dashboard.catalogue"
    assert set(known) == wanted, how
    assert [id_ for id_, message in known.items() if not any(message.string)] == []
    assert catalogue.MO.read_bytes() == catalogue.compiled(catalog), how


def test_a_translation_takes_the_same_values() -> None:
    places = re.compile(r"%\(\w+\)s")
    for message in catalogue.translated():
        if not message.id:
            continue
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        for string in strings:
            assert set(places.findall(string)) == set(places.findall(ids[-1])), message.id


@pytest.mark.parametrize(("language", "word"), [("vi", "Tổng quan"), ("en", "Overview")])
def test_pages_speak_the_language_of_the_browser_or_the_chosen_one(
    desk: Desk, language: str, word: str
) -> None:
    desk.sign_in()
    assert f"<h1>{word}</h1>" in desk.get("/", headers={"Accept-Language": language}).text
    desk.get(f"/language/{language}")
    other = {"vi": "en", "en": "vi"}[language]
    assert f"<h1>{word}</h1>" in desk.get("/", headers={"Accept-Language": other}).text


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/logout", 405)])
def test_what_is_no_page_is_told_in_the_language_too(desk: Desk, path: str, status: int) -> None:
    desk.sign_in()
    answer = desk.get(path, headers={"Accept-Language": "vi"})
    title = re.search(r"<h1>(.*?)</h1>", answer.text)
    assert answer.status_code == status
    assert title
    assert title[1] in ("Không tìm thấy", "Không dùng được ở đây")
    assert "URL" not in answer.text


# --- what is vendored


def test_what_is_vendored_has_its_licence_beside_it() -> None:
    vendored = Path(catalogue.HERE) / "static" / "vendor"
    names = {path.name.partition("-")[0] for path in vendored.iterdir() if "-" in path.name}
    assert names == {"htmx", "codemirror"}
    for name in names:
        licence = vendored / f"{name}.LICENSE.txt"
        assert "Permission" in licence.read_text()
        assert not licence.stat().st_mode & stat.S_IXUSR
