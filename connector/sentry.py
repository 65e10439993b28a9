"""Errors to Sentry, where `SENTRY_DSN` is set and the extra `sentry` is installed.

Invariant: nothing leaves that the log would not show: no request, no local variables, no words of a
user, and every text goes through the same redaction. Only what is logged as an error is sent.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from importlib import import_module
from typing import Any

from connector import __version__
from connector.redaction import Redaction

log = logging.getLogger(__name__)

DROPPED = ("request", "user", "breadcrumbs", "extra", "server_name", "modules")
"""Parts of an event of Sentry that are never sent."""


PARTS = ("atexit", "dedupe", "excepthook", "logging", "threading")
"""Integrations of Sentry that are used; those with Flask, Redis and HTTP would see bodies."""


def start(dsn: str, redaction: Redaction, **more: Any) -> bool:
    """Send errors from now on; whether that can be done. `more`: further settings of the client."""
    try:
        sdk: Any = import_module("sentry_sdk")
        parts: Any = {name: import_module(f"sentry_sdk.integrations.{name}") for name in PARTS}
    except ImportError:
        log.warning(
            "SENTRY_DSN is set, but sentry-sdk is not installed:"
            " pip install '.[sentry]' in the folder of the connector"
        )
        return False

    def before_send(event: Any, hint: dict[str, Any]) -> Any:
        return cleaned(event, hint, redaction)

    sdk.init(
        dsn=dsn,
        release=f"crm-connector@{__version__}",
        before_send=before_send,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            parts["logging"].LoggingIntegration(level=None, event_level=logging.ERROR),
            parts["excepthook"].ExcepthookIntegration(),
            parts["threading"].ThreadingIntegration(propagate_hub=False),
            parts["dedupe"].DedupeIntegration(),
            parts["atexit"].AtexitIntegration(callback=lambda pending, timeout: None),
        ],
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        **more,
    )
    return True


def cleaned(
    event: MutableMapping[str, Any], hint: dict[str, Any], redaction: Redaction
) -> MutableMapping[str, Any]:
    """An event of Sentry without what must not leave."""
    for part in DROPPED:
        event.pop(part, None)
    words: list[str] = []
    error = (hint.get("exc_info") or (None, None))[1]
    while isinstance(error, BaseException):
        words.append(redaction.of_error(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    exceptions = (event.get("exception") or {}).get("values") or []
    # Sentry has the causes first.
    for number, exception in enumerate(reversed(exceptions)):
        exception["value"] = words[number] if number < len(words) else ""
        for frame in (exception.get("stacktrace") or {}).get("frames") or []:
            frame.pop("vars", None)
    if event.pop("logentry", None):
        record = hint.get("log_record")
        told = record.getMessage() if record is not None else ""
        event["logentry"] = {"message": redaction.text(told)}
    return event
