"""Spans to OpenTelemetry, where OTEL_EXPORTER_OTLP_ENDPOINT is set and the extra `otel` is there.

All spans of an event, of whichever process, stand in one trace without anything being handed from
one to the other: the trace's id is a hash of the beginning of the event's id, which both know.

Invariants: spans are made after the fact and sent by a thread of the SDK, so no request and no
round waits for one; they carry names of sources, kinds and resources, and no value of a record.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from hashlib import sha256
from importlib import import_module
from typing import Any

from connector import __version__

log = logging.getLogger(__name__)

SETTINGS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def ids(event: str) -> tuple[int, int]:
    """The trace and the first span of an event, by the beginning of its id."""
    digest = sha256(event.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:24]) or 1


class Tracer:
    """Makes spans of what has happened."""

    def __init__(self, sdk: Any, api: Any, provider: Any) -> None:
        self._api = api
        self._tracer = provider.get_tracer("crm-connector", __version__)
        self._next = sdk

    def span(
        self,
        name: str,
        event: str,
        began: int,
        ended: int,
        attributes: Mapping[str, str | int],
        *,
        first: bool = False,
        failed: bool = False,
    ) -> None:
        """A span of an event, from `began` to `ended` (ns since 1970). `first`: the one that all
        others hang on."""
        trace, root = ids(event)
        if first:
            context = None
            self._next.preset = (trace, root)
        else:
            flags = self._api.TraceFlags(self._api.TraceFlags.SAMPLED)
            parent = self._api.SpanContext(trace, root, is_remote=True, trace_flags=flags)
            context = self._api.set_span_in_context(self._api.NonRecordingSpan(parent))
        span = self._tracer.start_span(
            name, context=context, start_time=began, attributes=dict(attributes)
        )
        if failed:
            span.set_status(self._api.Status(self._api.StatusCode.ERROR))
        span.end(end_time=ended)


def open_tracer(process: str, environ: Mapping[str, str] = os.environ) -> Tracer | None:
    """The tracer of this process, if the environment asks for one and it can be had.

    To be called in the process that uses it, after any fork.
    """
    if not any(environ.get(name) for name in SETTINGS):
        return None
    try:
        api: Any = import_module("opentelemetry.trace")
        sdk: Any = import_module("opentelemetry.sdk.trace")
        export: Any = import_module("opentelemetry.sdk.trace.export")
        resources: Any = import_module("opentelemetry.sdk.resources")
        otlp: Any = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        generators: Any = import_module("opentelemetry.sdk.trace.id_generator")
    except ImportError:
        log.warning(
            "%s is set, but OpenTelemetry is not installed:"
            " pip install '.[otel]' in the folder of the connector",
            SETTINGS[0],
        )
        return None
    next_ids = _ids_of(generators.RandomIdGenerator)
    provider = sdk.TracerProvider(
        resource=resources.Resource.create(
            {
                "service.name": environ.get("OTEL_SERVICE_NAME") or f"crm-connector-{process}",
                "service.version": __version__,
            }
        ),
        id_generator=next_ids,
    )
    provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    return Tracer(next_ids, api, provider)


def _ids_of(base: Any) -> Any:
    """A generator of ids that gives those preset for the next span, else random ones."""

    def trace_id(self: Any) -> int:
        preset = self.preset
        return int(preset[0] if preset else base.generate_trace_id(self))

    def span_id(self: Any) -> int:
        preset, self.preset = self.preset, None
        return int(preset[1] if preset else base.generate_span_id(self))

    made = {"preset": None, "generate_trace_id": trace_id, "generate_span_id": span_id}
    return type("Ids", (base,), made)()
