"""What can go wrong, grouped by who must act.

A message says what was found, where, and what would have been right. Messages never hold secrets
or bodies: they go to logs and terminals.
"""

from __future__ import annotations

from collections.abc import Sequence

from connector.model import Problem


class ConnectorError(Exception):
    """Root of everything that this project raises on purpose."""


# --- the sender must act: the answer to a webhook is not 200


class SenderError(ConnectorError):
    """A request that is refused; nothing of it is stored."""

    status = 400


class NotJson(SenderError):
    """The authentic body is not JSON (NaN and Infinity are not)."""

    status = 400


class BadSignature(SenderError):
    """Signature missing or wrong, or of another app than the body names."""

    status = 401


class UnknownSource(SenderError):
    """No source of that name is configured."""

    status = 404


class TooLarge(SenderError):
    """The body is larger than `receiver.max_body`."""

    status = 413


# --- a person must look at one event; others go on


class EventUnreadable(ConnectorError):
    """An authentic event that is not what the vendor documents: a dead letter."""


# --- the mapping editor or the integrator must act


class Invalid(ConnectorError):
    """Files that cannot be used, with everything that is wrong with them."""

    def __init__(self, problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)
        self.warnings = tuple(warnings)


class ConfigInvalid(Invalid):
    """config.yaml or the environment: the integrator."""


class RedisUnfit(ConnectorError):
    """A Redis that would lose what it is given, has lost some of it, or holds what this version
    cannot read: the integrator."""


class MappingInvalid(Invalid):
    """A mapping set: the mapping editor."""


# --- nobody yet: try again


class TryAgain(ConnectorError):
    """Something outside is away for now."""


class LeaseLost(TryAgain):
    """Somebody else has taken over the record while we were working on it."""
