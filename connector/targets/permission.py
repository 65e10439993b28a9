"""Whether a 403 is about the credentials or about one record: a call that should work tells.

With a `check:` that call is it. Without one it is the last call that worked, repeated where it
only reads: rather a search, for a row that is gone may be forbidden to read, else a read of another
row; where nothing but writes worked, the address of the last write is read instead. Reading
may be forbidden to credentials that may write: once writes go on although that reading was refused,
its refusals prove nothing until it works again. Without any proof a 403 is this record's.

Kept per target and process; a race between threads costs at worst one needless call.
"""

from __future__ import annotations

from dataclasses import replace

from connector.targets.answers import WRITES, Judgement
from connector.targets.calls import Outgoing


class Permission:
    """What is known of the calls that a target permits."""

    def __init__(self) -> None:
        self._searched: Outgoing | None = None
        self._read: tuple[Outgoing, ...] = ()
        self._written: Outgoing | None = None
        self._reading_refused = False
        self._reading_proves = True

    def note(self, call: Outgoing) -> None:
        """A call of a record was answered and not refused."""
        if call.kind in WRITES:
            self._written = call
            if self._reading_refused:
                self._reading_proves = False
        elif call.kind == "search":
            self._searched = call
        elif call.method == "GET":
            self._read = (call, *(read for read in self._read[:1] if read.path != call.path))

    def proof(self, forbidden: Outgoing) -> Outgoing | None:
        """A harmless call that should work, best one about another row; None where none is known.

        A search by POST is as harmless as one by GET.
        """
        if worked := self._searched or self._other_than(forbidden):
            return replace(worked, kind="check")
        if self._written:
            return replace(self._written, kind="check", method="GET", body=None)
        return None

    def proven(self, judgement: Judgement) -> bool:
        """Whether the answer to `proof` says anything about the credentials."""
        if self._searched or self._read:
            return True
        self._reading_refused = judgement.meaning == "credentials"
        if not self._reading_refused:
            self._reading_proves = True
        return self._reading_proves

    def _other_than(self, forbidden: Outgoing) -> Outgoing | None:
        others = (read for read in self._read if read.path != forbidden.path)
        return next(others, self._read[0] if self._read else None)
