"""Log lines: a form for machines and one for people, ids as fields, nothing that must not leave."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from connector import logs, sentry
from connector.redaction import Redaction

log = logging.getLogger("connector.tests")

CUSTOMER, ADDRESS, WORDS = "Nguyễn Văn A", "an@mail.vn", "private words"
"""Far from the code that fails: Sentry shows the lines around."""


class Stream(io.StringIO):
    """Standard error, of a terminal or not."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    root, ours = logging.getLogger(), logging.getLogger("connector")
    before = (root.handlers[:], root.level, ours.level)
    for name in ("LOG_LEVEL", "LOG_FORMAT", "SENTRY_DSN"):
        monkeypatch.delenv(name, raising=False)
    found = Stream()
    yield found
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)
    logging.captureWarnings(False)


def test_a_server_gets_one_json_object_for_each_line(stream: Stream) -> None:
    logs.start(logging.INFO, stream)
    log.info("worker %s is ready", "a\nb")
    (line,) = stream.lines()
    assert line["message"] == "worker a\nb is ready"
    assert (line["level"], line["logger"]) == ("info", "connector.tests")
    assert line["time"].endswith("Z")
    assert list(line)[:4] == ["time", "level", "logger", "message"]


def test_a_terminal_gets_readable_lines(stream: Stream) -> None:
    stream.terminal = True
    logs.start(logging.INFO, stream)
    log.warning("Redis is away", extra={"event": "722fa717"})
    assert stream.getvalue().endswith("WARNING connector.tests: Redis is away event=722fa717\n")


@pytest.mark.parametrize(("form", "first"), [("json", "{"), ("text", "0123456789")])
def test_the_form_can_be_asked_for(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, form: str, first: str
) -> None:
    stream.terminal = form == "json"
    monkeypatch.setenv("LOG_FORMAT", form)
    logs.start(logging.INFO, stream)
    log.warning("x")
    assert stream.getvalue()[0] in first


def test_fields_are_carried_and_redacted(stream: Stream) -> None:
    logs.start(logging.INFO, stream)
    log.info(
        "called %s",
        "an@mail.vn",
        extra={"event": "722fa717", "record": "crm/contacts/0901234567", "note": "private"},
    )
    (line,) = stream.lines()
    assert line["message"] == "called [email]"
    assert line["event"] == "722fa717"
    assert line["record"] == "crm/contacts/[phone]"
    assert line["note"] == "[left out]"


def test_a_traceback_shows_places_and_no_values(stream: Stream) -> None:
    logs.start(logging.INFO, stream)
    name = "Nguyễn Văn A"
    try:
        try:
            int(name)
        except ValueError as error:
            raise KeyError(name) from error
    except KeyError as error:
        log.exception("an event failed: %s", error)
    (line,) = stream.lines()
    assert "test_logs.py" in line["trace"]
    assert line["error"].startswith("KeyError: ")
    assert "invalid literal for int()" in line["trace"]
    assert name not in stream.getvalue()


def test_a_secret_of_the_configuration_is_in_no_line(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "redaction", Redaction())
    logs.start(logging.INFO, stream)
    logs.hide(["hunter2-token"])
    log.error("the CRM said: %s", "you sent hunter2-token")
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize(
    ("wanted", "shown"), [("debug", 3), ("info", 2), ("warning", 1), ("WARNING", 1), ("", 2)]
)
def test_the_level_is_that_of_the_environment(
    stream: Stream, monkeypatch: pytest.MonkeyPatch, wanted: str, shown: int
) -> None:
    monkeypatch.setenv("LOG_LEVEL", wanted)
    logs.start(logging.INFO, stream)
    log.debug("a")
    log.info("b")
    log.warning("c")
    assert len(stream.lines()) == shown


def test_a_wrong_setting_is_said_and_does_no_harm(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOG_LEVEL", "loud")
    monkeypatch.setenv("LOG_FORMAT", "xml")
    logs.start(logging.INFO, stream)
    assert [line["message"].split(" is ")[0] for line in stream.lines()] == [
        "LOG_LEVEL",
        "LOG_FORMAT",
    ]


def test_a_line_that_repeats_is_counted_instead_of_written(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.start(logging.INFO, stream)

    def refuse(name: str = "caresoft") -> None:
        log.warning("refused a request for %s", name)

    for _ in range(logs.SAME_WORDS + 30):
        refuse()
    assert len(stream.lines()) == logs.SAME_WORDS
    for number in range(logs.SAME_LINES + 20):
        refuse(f"source-{number}")
    log.warning("something else")
    assert len(stream.lines()) == logs.SAME_LINES + 1
    monkeypatch.setattr(logs, "WITHIN_SECONDS", -1.0)
    refuse("mobio")
    assert "repeated" in stream.lines()[logs.SAME_WORDS]
    assert sum(line.get("repeated", 0) for line in stream.lines()) == (
        30 + 20 + logs.SAME_WORDS  # those written at first are of the same ten seconds
    )


def test_the_same_words_about_other_events_are_not_the_same(stream: Stream) -> None:
    logs.start(logging.INFO, stream)
    for number in range(logs.SAME_WORDS + 5):
        log.warning("an event became a dead letter", extra={"event": f"e{number}"})
    assert len(stream.lines()) == logs.SAME_WORDS + 5


def test_other_packages_are_heard_from_warning_on(stream: Stream) -> None:
    logs.start(logging.DEBUG, stream)
    logging.getLogger("urllib3").info("connected")
    logging.getLogger("urllib3").warning("odd")
    assert [line["message"] for line in stream.lines()] == ["odd"]


def test_without_sentry_its_setting_is_told_and_the_rest_goes_on(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    monkeypatch.setenv("SENTRY_DSN", "https://key@sentry.example/1")
    logs.start(logging.INFO, stream)
    assert "[sentry]" in stream.lines()[0]["message"]
    log.info("on")
    assert stream.lines()[-1]["message"] == "on"


def test_sentry_gets_errors_and_nothing_personal(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    sdk = pytest.importorskip("sentry_sdk", reason="sentry-sdk is not installed (extra: sentry)")
    transport = kept_events(sdk)
    logs.start(logging.INFO, stream)
    before = logging.Logger.callHandlers
    monkeypatch.setattr(logging.Logger, "callHandlers", before)  # Sentry replaces it
    hook = sys.excepthook
    try:
        assert sentry.start("https://key@sentry.example/1", Redaction(), transport=transport)
        log.info("not an error")
        log.error("refused %s", ADDRESS, extra={"note": WORDS})
        try:
            int(CUSTOMER)
        except ValueError as error:
            log.exception("event %s failed: %s", "722fa717", error)
        sdk.flush()
    finally:
        sys.excepthook = hook
        sdk.get_global_scope().set_client(None)
    sent = transport.events
    assert [event["level"] for event in sent] == ["error", "error"]
    text = json.dumps(sent, ensure_ascii=False)
    for hidden in (CUSTOMER, ADDRESS, WORDS, "vars", "breadcrumbs"):
        assert hidden not in text
    assert sent[0]["logentry"]["message"] == "refused [email]"
    assert sent[1]["exception"]["values"][-1]["type"] == "ValueError"


def kept_events(sdk: Any) -> Any:
    """A transport of Sentry that keeps what would be sent."""

    class Kept(sdk.transport.Transport):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.events: list[Any] = []

        def capture_envelope(self, envelope: Any) -> None:
            self.events += [item.get_event() for item in envelope.items if item.get_event()]

    return Kept()
