"""Every manner of real CRMs, one by one and in pairs: what the CRM holds in the end is right, or
the record is a dead letter that says why."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml
from manners import ALL, Odd

from connector.config import load
from connector.model import Delivery, Name
from connector.targets import line
from connector.targets.target import Target

ID = "Abc-9"
PLAIN = {
    "external_id_field": "ext",
    "crm_id": "id",
    "hit_id": "id",
    "upsert": {
        "strategy": "search_then_write",
        "search": {"path": "/t", "query": {"ext": "{external_id}"}, "found": "items"},
        "create": {"path": "/t"},
        "update": {"path": "/t/{crm_id}"},
    },
    "read": {"path": "/t/{crm_id}"},
    "delete": {"path": "/t/{crm_id}"},
}
FIRST = {"subject": "Xin chào\nbạn", "note": "to be cleared", "n": 5, "phone": "+84889999999"}
THEN = {**FIRST, "subject": "Xong rồi\nnhé", "note": None, "n": 6}


# --- how each manner is configured, as docs/configuration.md says


def wrapped(said):
    said["body"] = {"data": said.get("body", "{fields}")}
    said["crm_id"] = (
        f"data.{said['crm_id']}" if said["crm_id"][0] != "[" else f"data{said['crm_id']}"
    )
    record = said["read"].get("record")
    said["read"]["record"] = "data" if record is None else f"data | {record}"


def listed(said):
    inner = said.get("body", "{fields}")
    if isinstance(inner, dict) and "data" in inner:
        said["body"] = {"data": [inner["data"]]}
        said["crm_id"], said["read"]["record"] = "data[0].id", "data[0]"
    else:
        said["body"], said["crm_id"], said["read"]["record"] = [inner], "[0].id", "[0]"


def custom(said):
    said["fields"] = {"phone": "custom_fields[id=4].value"}


def headers(**more):
    def add(said):
        calls = [said["read"], said["delete"], *said["upsert"].values()]
        for call in calls:
            if isinstance(call, dict):
                call.setdefault("headers", {}).update(more)

    return add


def only_post(said):
    for call, method in ((said["upsert"]["update"], "PATCH"), (said["delete"], "DELETE")):
        call["method"] = "POST"
        call.setdefault("headers", {})["X-HTTP-Method-Override"] = method


def forms(said):
    for name in ("create", "update"):
        call = said["upsert"].get(name)
        call.setdefault("headers", {})["Content-Type"] = "application/x-www-form-urlencoded"


def id_in_body(said):
    said["upsert"]["update"]["path"] = "/t"
    said["upsert"]["update"]["body"] = {"id": "{crm_id}", "**": "{fields}"}


def conflict(**more):
    def add(said):
        said.setdefault("answers", []).append({"call": "create", "means": "conflict", **more})

    return add


def setting(key, value):
    def put(said):
        said[key] = value

    return put


def verified(way):
    def add(said):
        said.setdefault("verify", []).append(way)

    return add


def gone_at(status):
    def add(said):
        rule = {"call": "update", "status": status, "means": "gone"}
        said.setdefault("answers", []).append(rule)

    return add


CONFIGURED: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "old_row": conflict(status=200),
    "patch_of_nothing": gone_at(204),
    "reuses_ids": verified("link"),
    "drops_unknown": verified("read"),
    "cuts_text": verified("read"),
    "ignores_null": setting("empty", ""),
    "needs_subject": setting("send", "all"),
    "strict_ext": setting("id_format", "slug"),
    "id_in_body": id_in_body,
    "if_match": setting("etag", "header"),
    "strings": setting("values", "strings"),
    "custom": custom,
    "origin": headers(Origin="https://crm.example"),
    "only_post": only_post,
    "wrapped": wrapped,
    "listed": listed,
    "forms": forms,
}
ORDER = list(CONFIGURED)
"""In which they are put on top of each other: what wraps a body comes last."""

CLASHES = {
    frozenset(pair): why
    for why, pairs in {
        "two answers to one question": [
            *itertools.combinations(
                ["old_row", "duplicate_400", "duplicate_409", "duplicate_500"], 2
            ),
            ("silent_create", "id_in_location"),
            ("silent_create", "parts"),
            ("id_in_location", "parts"),
            *itertools.combinations(["gone_is_403", "gone_is_410", "patch_of_nothing"], 2),
            ("envelope", "says_error"),
        ],
        "two forms of a body": [
            *itertools.combinations(["wrapped", "listed", "parts", "forms", "id_in_body"], 2),
            ("custom", "forms"),
        ],
        "no id in the answer that the conflict is known by": [
            ("old_row", "parts"),
            ("old_row", "silent_create"),
        ],
        "`read:` is left out where it is forbidden": [
            ("if_match", "forbids_reading"),
            ("reuses_ids", "forbids_reading"),
        ],
    }.items()
    for pair in pairs
}
"""Pairs that no CRM can have, or that would need a configuration of their own."""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(line, "_jittered", lambda state: 0.0)


class Story:
    """A record's life against an odd CRM: created, changed, told again, deleted by a person, come
    back with the next change, deleted, told again."""

    def __init__(self, crm, http, tmp_path, names, base=PLAIN):
        self.odd, self.http = Odd(*names), http
        crm.otherwise = self.answer
        self.crm = crm
        said = copy.deepcopy(base)
        for name in sorted(names, key=lambda name: ORDER.index(name) if name in ORDER else -1):
            CONFIGURED.get(name, lambda said: None)(said)
        file = tmp_path / "config.yaml"
        target = {"base_url": crm.url, "search_lag": 0.001, "resources": {"t": said}}
        file.write_text(yaml.safe_dump({"targets": {"crm": target}}))
        self.target = Target(load(file, {}).targets["crm"])
        self.known = {"link": None, "delivered": False, "number": 1}
        self.doubt = {}
        self.warnings: list[str] = []

    def answer(self, seen):
        names = {name.lower(): value for name, value in seen.headers.items()}
        said = self.odd.answer(seen.method, seen.path, names, seen.body)
        if said.status is None:
            return self.crm.reply(cut="read")
        return self.crm.reply(said.status, said.body, dict(said.headers))

    def bring(self, fields, *, changed=None, action="upsert"):
        """Delivers until it is done or a dead letter, as the worker does."""
        intended = [None]
        for _ in range(20):
            order = Delivery(
                Name("crm", "t", ID),
                action,
                fields,
                frozenset(fields if changed is None else changed),
                intended=intended[-1],
                **self.known,
                **self.doubt,
            )
            found = self.target.deliver(order, self.http, lambda: None, intended.append)
            link = found.link if found.link is not None or found.unlinked else self.known["link"]
            delivered = self.known["delivered"] or found.meaning == "done"
            self.known = {"link": link, "delivered": delivered, "number": found.number}
            unknown = found.unknown or (bool(self.doubt) and found.meaning != "done")
            self.doubt = {"in_doubt": True, "unheard": found.unheard} if unknown else {}
            self.odd.unseen.clear()  # the worker waits for `search_lag` after such a call
            if found.meaning in ("done", "refused"):
                self.warnings += found.warnings
                return found
        pytest.fail(f"neither delivered nor refused: {found}")

    def held(self):
        """What the CRM holds of our record, whatever form that has there."""
        rows = [row for row in self.odd.rows.values() if row.get("ext") == ID]
        assert len(rows) <= 1, f"several rows of one record: {rows}"
        if not rows:
            return None
        row = dict(rows[0])
        for entry in row.pop("custom_fields", None) or []:
            row["phone"] = entry["value"]
        return {name: row.get(name) for name in FIRST}

    def others(self):
        """The rows that were never ours."""
        return [row["ext"] for row in self.odd.rows.values() if row["ext"] != ID]


def plain(value):
    """As it compares: text, one kind of line break, nothing for what is empty."""
    return "" if value in (None, "") else str(value).replace("\r\n", "\n")


def is_right(story, fields):
    """Whether the CRM holds what it was told, or a warning says what it did not keep."""
    held = story.held()
    assert held is not None, "the record is not there"
    for name, wanted in fields.items():
        if plain(held[name]) == plain(wanted):
            continue
        cut = story.odd.has("cuts_text") and plain(held[name]) in plain(wanted)
        said = any(f"did not keep {name}:" in warning for warning in story.warnings)
        assert cut or said, f"{name}: told {wanted!r}, holds {held[name]!r}: {story.warnings}"
        if story.odd.has("cuts_text") and not story.odd.has("forbids_reading"):
            assert said, "a text that was cut is told of"
    return True


def live(story):
    """The whole life; every step ends right, or in a refusal that says why."""
    first = story.bring(FIRST)
    if first.meaning == "refused":
        return explained(story, first)
    is_right(story, FIRST)
    changed = {name for name in THEN if THEN[name] != FIRST[name]}
    second = story.bring(THEN, changed=changed)
    if second.meaning == "refused":
        return explained(story, second)
    is_right(story, THEN)
    again = story.bring(THEN)
    if again.meaning == "refused":
        return explained(story, again)
    is_right(story, THEN)
    story.odd.others_delete(ID)
    anew = {**THEN, "n": 7}
    third = story.bring(anew, changed={"n"})
    if third.meaning == "refused":
        return explained(story, third)
    is_right(story, anew)
    for _ in range(2):
        gone = story.bring({}, action="delete")
        if gone.meaning == "refused":
            return explained(story, gone)
    assert story.held() is None
    theirs = {"theirs"} if story.odd.has("reuses_ids") else set()
    assert set(story.others()) == {"Abc-98", "abc-9"} | theirs
    assert all(row["subject"] in ("another", "theirs") for row in story.odd.rows.values())
    return "done"


def explained(story, outcome):
    """A dead letter says what the CRM answered, or what we found."""
    assert outcome.reason, outcome
    assert outcome.status is not None or "records of the CRM" in outcome.reason
    return outcome.reason


def neighbours(story):
    """Rows that a sloppy search finds instead of ours."""
    for number, ext in ((1, "Abc-98"), (2, "abc-9")):
        story.odd.rows[str(number)] = {"id": number, "ext": ext, "subject": "another"}


STOPPED = {"unasked"}
"""What is tried apart from the others, for it pauses the target."""


def test_plain_crm_is_right_all_the_way(crm, http, tmp_path):
    story = Story(crm, http, tmp_path, [])
    neighbours(story)
    assert live(story) == "done"


@pytest.mark.parametrize("name", sorted(ALL.keys() - STOPPED))
def test_manner_is_survived(crm, http, tmp_path, name):
    story = Story(crm, http, tmp_path, [name])
    neighbours(story)
    assert live(story) == "done", ALL[name]


CREATING = copy.deepcopy(PLAIN)
CREATING["upsert"] |= {"strategy": "create_then_update"}
UNIQUE = ("old_row", "duplicate_400", "duplicate_409", "duplicate_500")


@pytest.mark.parametrize("name", sorted(ALL.keys() - STOPPED))
def test_manner_is_survived_by_creating_first(crm, http, tmp_path, name):
    """With a CRM that keeps ids unique, which is what create_then_update is for."""
    names = [name] if name in UNIQUE else [name, "duplicate_409"]
    story = Story(crm, http, tmp_path, names, CREATING)
    neighbours(story)
    assert live(story) == "done", ALL[name]


def test_search_that_ignores_what_it_does_not_know_pauses(crm, http, tmp_path):
    wrong = copy.deepcopy(PLAIN)
    wrong["upsert"]["search"]["query"] = {"exxt": "{external_id}"}
    story = Story(crm, http, tmp_path, ["unasked"], wrong)
    story.odd.rows["1"] = {"id": 1, "ext": "", "subject": "another"}
    order = Delivery(Name("crm", "t", ID), "upsert", FIRST, frozenset(FIRST), None, False, 1)
    found = story.target.deliver(order, http, lambda: None)
    assert (found.meaning, story.others()) == ("misled", [""])
    assert "is its query right?" in found.reason


DEAD = {frozenset(("id_in_body", "strings")): "400 Bad Request: id"}
"""What no configuration can do: an id of the CRM keeps its type in a body, here a number."""

PAIRS = [
    pair
    for pair in itertools.combinations(sorted(ALL.keys() - STOPPED), 2)
    if frozenset(pair) not in CLASHES
]


@pytest.mark.parametrize("first", sorted(ALL.keys() - STOPPED))
def test_manner_is_survived_with_any_other(crm, http, tmp_path, first):
    for pair in PAIRS:
        if pair[0] == first:
            story = Story(crm, http, tmp_path, pair)
            neighbours(story)
            try:
                assert live(story) == DEAD.get(frozenset(pair), "done")
            except (AssertionError, pytest.fail.Exception) as error:
                raise AssertionError(f"{pair[0]} with {pair[1]}: {error}") from error
