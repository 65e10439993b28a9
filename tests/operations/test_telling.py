"""The processes as they run: one id from the webhook to the CRM call, in logs, metrics, spans."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from system import SAMPLES, System, running, ticket, wait_for

from connector import tracing
from connector.config import load
from connector.demo.ports import free_port
from connector.model import Name
from connector.records.state import Delivered, Merged
from connector.records.store import Lease, Release, State
from connector.telemetry import Telemetry

PERSONAL = ("Nguyễn Thị Bí Mật", "0901234567", "bimat@mail.vn", "private words of a note")


def user(number: int) -> dict[str, Any]:
    """A user.update of CareSoft, full of personal data."""
    name, phone, email, note = PERSONAL
    return {
        "object": "user",
        "action": "update",
        "user": {
            "id": number,
            "username": name,
            "phone_no": phone,
            "email": email,
            "detail_desc": note,
            "updated_at": 1633484753675,
        },
    }


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    os.environ["LOG_LEVEL"] = "debug"
    try:
        with running(tmp_path_factory.mktemp("system")) as started:
            yield started
    finally:
        del os.environ["LOG_LEVEL"]


def lines(system: System, name: str) -> list[dict[str, Any]]:
    """The log of a process; every line must be a JSON object."""
    return [json.loads(line) for line in system.log(name).splitlines()]


def samples(system: System) -> dict[str, float]:
    text = requests.get(f"{system.web_url}/metrics", timeout=10).text
    return {
        f"{s.name}{json.dumps(s.labels, sort_keys=True)}": s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def test_one_id_leads_from_the_webhook_to_the_call(system: System) -> None:
    assert system.send("caresoft", ticket(4711, 1633484753675)).status_code == 200
    called = wait_for_line(system, "worker", "called", record="crm/tickets/4711")
    event = called["event"]
    received = [line for line in lines(system, "web") if line.get("event") == event]
    merged = [
        line
        for line in lines(system, "worker")
        if line.get("event") == event and line["message"] == "merged"
    ]
    assert [line["message"] for line in received] == ["received"]
    assert merged[0]["records"] == ["crm/tickets/4711"]
    assert (called["status"], called["meaning"], called["method"]) == (200, "done", "PUT") or (
        called["status"] == 201
    )
    found = system.cli("event", event)
    assert found["id"].startswith(event)


def wait_for_line(system: System, process: str, message: str, **fields: Any) -> dict[str, Any]:
    def found() -> dict[str, Any] | None:
        for line in lines(system, process):
            if line["message"] == message and fields.items() <= line.items():
                return line
        return None

    wait_for(found, f"{message} {fields}", explain=lambda: system.log(process)[-3000:])
    line = found()
    assert line is not None
    return line


def test_no_log_holds_personal_data_or_secrets_whatever_happens(system: System) -> None:
    """Taken, refused by the CRM with the data in its answer, unreadable, wrongly signed."""
    for path in sorted(SAMPLES.glob("caresoft/*.json"))[:12]:
        system.send("caresoft", path.read_bytes())
    system.send("caresoft", user(1))
    system.behave(mode="422", answer={"message": " ".join(PERSONAL)}, times=1, resource="contacts")
    system.send("caresoft", user(2))
    requests.post(f"{system.web_url}/webhooks/caresoft", json=user(3), timeout=10)
    requests.post(
        f"{system.web_url}/webhooks/caresoft?phone={PERSONAL[1]}",
        data=json.dumps(user(4)),
        headers={"X-Hub-Signature": "sha1=" + "0" * 40},
        timeout=10,
    )
    system.send("caresoft", json.dumps(PERSONAL).encode())
    wait_for(lambda: len(system.cli("dead")["dead"]) >= 2, "two dead letters")
    wait_for_line(
        system, "worker", "a record became a dead letter; `connector dead` says why", status=422
    )
    everything = system.log("web") + system.log("worker")
    for hidden in (*PERSONAL, "CS123"):
        assert hidden not in everything
        assert json.dumps(hidden)[1:-1] not in everything


def test_the_web_process_tells_what_the_worker_did(system: System) -> None:
    system.send("caresoft", ticket(4712, 1633484753675))

    def told() -> bool:
        now = samples(system)
        return (
            now.get('connector_calls_total{"status": "2xx", "target": "crm"}', 0) >= 1
            and now.get('connector_delivery_seconds_count{"target": "crm"}', 0) >= 1
        )

    wait_for(told, "the worker's counts")
    now = samples(system)
    kind = {"kind": "ticket.update", "outcome": "merged", "source": "caresoft"}
    assert now[f"connector_events_total{json.dumps(kind)}"] >= 1
    done = {"answer": "done", "resource": "tickets", "target": "crm"}
    assert now[f"connector_deliveries_total{json.dumps(done)}"] >= 1
    assert now["connector_workers{}"] == 1
    assert now["connector_mapping_set{}"] == 1


def test_totals_survive_the_death_of_those_who_counted(system: System) -> None:
    key = 'connector_calls_total{"status": "2xx", "target": "crm"}'
    wait_for(lambda: samples(system).get(key, 0) >= 1, "calls")
    before = samples(system)[key]
    system.kill9("worker")
    assert samples(system)[key] >= before
    system.start_and_await_worker()
    system.send("caresoft", ticket(4713, 1633484753675))
    wait_for(lambda: samples(system)[key] > before, "more calls")


def test_a_worker_that_is_stopped_hands_over_its_last_counts(system: System) -> None:
    key = 'connector_calls_total{"status": "2xx", "target": "crm"}'
    before = samples(system).get(key, 0)
    system.send("caresoft", ticket(4714, 1633484753675))
    wait_for(lambda: "4714" in system.rows("tickets"), "the row")
    assert system.stop("worker") == 0
    assert samples(system)[key] >= before + 1
    system.start_and_await_worker()


def test_a_fault_in_telling_is_logged_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A status and a line of a call that are none stand for any mistake in counting or tracing."""
    (tmp_path / "config.yaml").write_text(
        "sources: {caresoft: {kind: caresoft, secrets: [CS123]}}\n"
        "targets: {crm: {base_url: 'http://localhost', auth: {type: none}}}\n"
    )
    telling = Telemetry("worker", load(tmp_path / "config.yaml", {}))
    lease = Lease(State(Name("crm", "tickets", "7"), 1, Merged(), Delivered()), "t", False)
    with caplog.at_level(logging.DEBUG, "connector"):
        odd = Release(lease, Delivered(), verdict="ok", answered=(("odd", 1),), calls=("odd",))
        good = Release(lease, Delivered(), verdict="ok", answered=((200, 1.0),))
        telling.released([odd, good])
    assert [record.message for record in caplog.records] == [
        "counting what happened; the work goes on",
        "telling what happened; the work goes on",
    ]
    assert telling.meter.unpublished()['["connector_calls_total","crm","2xx"]'] == 1


# --- OpenTelemetry


class Collector(BaseHTTPRequestHandler):
    """Takes what the exporter posts."""

    bodies: list[bytes]

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


def test_all_spans_of_an_event_stand_in_one_trace(tmp_path: Path) -> None:
    pytest.importorskip(
        "opentelemetry.exporter.otlp", reason="OpenTelemetry is not installed (extra: otel)"
    )
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    Collector.bodies = []
    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    os.environ.update(settings)
    try:
        with running(tmp_path) as system:
            system.send("caresoft", ticket(1, 1633484753675))
            system.wait_until_settled(1)

            def spans() -> dict[str, Any]:
                return {
                    span.name: span
                    for body in Collector.bodies
                    for resource in ExportTraceServiceRequest.FromString(body).resource_spans
                    for scope in resource.scope_spans
                    for span in scope.spans
                }

            wait_for(lambda: {"receive", "merge", "call"} <= spans().keys(), "three spans")
            (event,) = system.outcomes()
            trace, root = tracing.ids(event[:20])
            found = spans()
            assert {int.from_bytes(s.trace_id) for s in found.values()} == {trace}
            assert int.from_bytes(found["receive"].span_id) == root
            assert int.from_bytes(found["call"].parent_span_id) == root
            assert found["call"].end_time_unix_nano > found["call"].start_time_unix_nano
    finally:
        for name in settings:
            del os.environ[name]
        server.shutdown()


def test_without_opentelemetry_its_setting_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.trace", None)
    assert tracing.open_tracer("web", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"}) is None
    assert "[otel]" in caplog.text


def test_nobody_pays_for_opentelemetry_who_did_not_ask() -> None:
    assert tracing.open_tracer("web", {}) is None
