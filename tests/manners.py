"""How real CRMs were seen to behave (docs/answers.md), each manner to be switched on by its name.

`Odd` is the far side: rows in memory, and one answer for each call. `WRITING`, `IDS`, `SEARCHING`,
`BEARING` and `FAILING` list the manners; without any it is a plain API at `/<resource>`:

    POST /t             creates, gives an id of its own (a number); an `ext` that is known makes a
                        second row, unless a manner says otherwise
    GET /t?ext=…        {"items": [rows whose `ext` is equal]}
    GET, PATCH, PUT, DELETE /t/<id>      404 where there is none

`fake_crm.py` answers in this way while its behaviour names `manners`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

Json = Any
Row = dict[str, Json]

WRITING = {
    "patch_of_nothing": "PATCH on a missing id answers 204 and writes nothing",
    "old_row": "POST of a known ext answers 200 with the old row, unchanged",
    "duplicate_400": "POST of a known ext is 400",
    "duplicate_409": "POST of a known ext is 409 with the id of the row",
    "duplicate_500": "POST of a known ext is 500",
    "drops_unknown": "a field that it does not know is dropped, with 2xx",
    "cuts_text": "a text of more than 12 characters is cut, with 2xx",
    "ignores_null": "null does not clear",
    "needs_subject": "every write needs `subject`, for a row that has it, too",
    "gone_is_403": "a row that is not there is 403, to whatever call",
    "gone_is_410": "a row that is not there is 410",
    "gone_is_400": "a row that is not there is 400, when it is to be deleted",
}
IDS = {
    "silent_create": "the answer to a create is empty",
    "text_ids": "its ids are texts",
    "reuses_ids": "the id of a deleted row is given to the next one, of whatever program",
    "strict_ext": "an ext may hold letters, digits, - and _ only",
    "id_in_body": "updates go to the collection, the id in the body",
    "id_in_location": "the answer to a create holds no row; its id is found by a search only",
}
SEARCHING = {
    "substring": "a search finds every row whose ext contains what is looked for",
    "case_blind": "a search does not mind case",
    "slow_index": "a search does not find what was created until it is asked again",
    "paged": "a search shows one row a page, and the address of the next",
    "unasked": "a parameter that it does not know is ignored: every row is found",
    "hits_204": "a search that finds nothing answers 204",
}
BEARING = {
    "if_match": "PATCH and DELETE need If-Match, else 428; a wrong one is 412",
    "strings": "a value that is no text is 400",
    "wrapped": "bodies and answers are {data: …}",
    "listed": "bodies and answers are lists of one",
    "custom": "`phone` stands in custom_fields, as {id: 4, value: …}",
    "origin": "a call without Origin is 403",
    "crlf": "line breaks come back as CR LF",
    "keys_once": "an Idempotency-Key that was seen is 409, whatever became of its call",
    "only_post": "PATCH and DELETE are POST with X-HTTP-Method-Override",
    "forms": "bodies are forms",
    "parts": "a write answers 207 with a list of parts",
    "envelope": "a refusal is 200 with {ok: false}",
    "says_error": "a refusal is 200 with {error: true}",
}
FAILING = {
    "busy": "the first call of every three is 429 with Retry-After: 0",
    "flickers": "the first call of every four is 503",
    "loses_answers": "every third write is done and the connection cut",
    "gateway": "every third write is done and answered 504",
    "fails_at_first": "the first write is 500 and not done",
    "forbids_reading": "GET of one row is 403",
}
ALL = {**WRITING, **IDS, **SEARCHING, **BEARING, **FAILING}

KNOWN_FIELDS = {"id", "ext", "subject", "note", "n", "phone", "custom_fields"}
CUT = 12


@dataclass(frozen=True)
class Said:
    """An answer; `status` None cuts the connection. `wrote`: rows were changed."""

    status: int | None
    body: Json = None
    headers: Mapping[str, str] = field(default_factory=dict)
    wrote: bool = False


class Refusal(Exception):
    """A call that is not done."""

    def __init__(self, status: int, code: str, **more: Json) -> None:
        super().__init__(code)
        self.said = Said(status, {"error": {"code": code, **more}})


class Odd:
    """A CRM of one resource with some manners."""

    def __init__(self, *manners: str) -> None:
        unknown = set(manners) - ALL.keys()
        if unknown:
            raise ValueError(f"unknown manners: {', '.join(sorted(unknown))}")
        self.manners = frozenset(manners)
        self.rows: dict[str, Row] = {}
        self.next = 100
        self.calls = self.writes = 0
        self.unseen: set[str] = set()
        self.keys: set[str] = set()

    def has(self, *manners: str) -> bool:
        return bool(self.manners & set(manners))

    def answer(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes = b""
    ) -> Said:
        """What is answered; `headers` by lower-case names."""
        self.calls += 1
        if self.has("busy") and self.calls % 3 == 1:
            return Said(429, {"message": "slower"}, {"Retry-After": "0"})
        if self.has("flickers") and self.calls % 4 == 1:
            return Said(503, {"message": "soon"})
        try:
            said = self._answer(method, path, headers, content)
        except Refusal as refusal:
            if self.has("envelope") and refusal.said.status in (400, 409):
                return Said(200, {"ok": False, **refusal.said.body})
            if self.has("says_error") and refusal.said.status in (400, 409):
                return Said(200, {"code": refusal.said.body["error"]["code"], "error": True})
            return refusal.said
        if said.wrote:
            self.writes += 1
            if self.has("loses_answers") and self.writes % 3 == 1:
                return Said(None, wrote=True)
            if self.has("gateway") and self.writes % 3 == 1:
                return Said(504, {"message": "no answer"}, wrote=True)
        return said

    def _answer(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> Said:
        method = headers.get("x-http-method-override") or method
        address, _, query = path.partition("?")
        record = address.strip("/").partition("/")[2]
        if self.has("origin") and "origin" not in headers:
            raise Refusal(403, "no_origin")
        overridden = "x-http-method-override" in headers
        plainly = method == "GET" or (method == "POST" and not record)
        if self.has("only_post") and not overridden and not plainly:
            raise Refusal(405, "post_only")
        if method == "GET":
            return self._read(record) if record else self._search(dict(parse_qsl(query)))
        if self.has("fails_at_first") and self.writes == 0:
            self.writes = 1
            raise Refusal(500, "out_of_luck")
        key = headers.get("idempotency-key", "")
        if self.has("keys_once") and key:
            if key in self.keys:
                raise Refusal(409, "used_key")
            self.keys.add(key)
        fields = self._fields(headers, content)
        if method == "DELETE":
            return self._delete(record, headers)
        if method == "POST" and not record:
            return self._create(fields)
        if self.has("id_in_body") and not record:
            record = str(fields.pop("id", ""))
        return self._update(record, fields, headers)

    # --- bodies

    def _fields(self, headers: Mapping[str, str], content: bytes) -> Row:
        if not content:
            return {}
        if self.has("forms"):
            if "x-www-form-urlencoded" not in headers.get("content-type", ""):
                raise Refusal(415, "forms_only")
            given: Json = dict(parse_qsl(content.decode(), keep_blank_values=True))
        else:
            given = json.loads(content)
        if self.has("wrapped") and not self.has("forms"):
            given = given.get("data") if isinstance(given, dict) else None
        if self.has("listed"):
            given = given[0] if isinstance(given, list) and given else None
        if not isinstance(given, dict):
            raise Refusal(400, "bad_body")
        if self.has("strings"):
            for name, value in given.items():
                if value is not None and not isinstance(value, str | list):
                    raise Refusal(400, "not_text", field=name)
        return given

    def _shown(self, row: Row | None, status: int) -> Said:
        headers = {"ETag": self._etag(row)} if row and self.has("if_match") else {}
        body: Json = row
        if self.has("listed"):
            body = [body]
        if self.has("wrapped"):
            body = {"data": body}
        return Said(status, body, headers)

    # --- calls

    def _read(self, record: str) -> Said:
        if self.has("forbids_reading"):
            raise Refusal(403, "no_reading")
        return self._shown(self._row(record), 200)

    def _row(self, record: str) -> Row:
        if record not in self.rows:
            raise Refusal(403 if self.has("gone_is_403") else self._gone(), "not_found")
        return self.rows[record]

    def _gone(self) -> int:
        return 410 if self.has("gone_is_410") else 404

    def _search(self, query: Mapping[str, str]) -> Said:
        if "ext" not in query and not self.has("unasked"):
            raise Refusal(400, "ext_wanted")
        wanted = query.get("ext", "")
        hits = [row for row in self.rows.values() if self._matches(row, wanted)]
        if self.has("slow_index"):
            fresh = [row for row in hits if str(row["id"]) in self.unseen]
            hits = [row for row in hits if str(row["id"]) not in self.unseen]
            self.unseen -= {str(row["id"]) for row in fresh}
        if not hits and self.has("hits_204"):
            return Said(204)
        if not self.has("paged"):
            return Said(200, {"items": hits})
        first = int(query.get("skip", 0))
        more = first + 1 < len(hits)
        after = f"/t?ext={wanted}&skip={first + 1}" if more else None
        return Said(200, {"items": hits[first : first + 1], "next": after})

    def _matches(self, row: Row, wanted: str) -> bool:
        shown = str(row.get("ext", ""))
        if self.has("case_blind"):
            shown, wanted = shown.lower(), wanted.lower()
        return wanted in shown if self.has("substring") else wanted == shown

    def _create(self, fields: Row) -> Said:
        ext = str(fields.get("ext", ""))
        self._judge(fields)
        known = next((row for row in self.rows.values() if row.get("ext") == ext), None)
        if known is not None:
            if self.has("old_row"):
                return self._shown(known, 200)
            for status in (400, 409, 500):
                if self.has(f"duplicate_{status}"):
                    raise Refusal(status, "not_unique", id=known["id"])
        self.next += 1
        record = f"r{self.next}" if self.has("text_ids") else self.next
        row = self.rows[str(record)] = {"id": record}
        self._keep(row, fields)
        if self.has("slow_index"):
            self.unseen.add(str(record))
        if self.has("silent_create"):
            return Said(201, wrote=True)
        if self.has("id_in_location"):
            return Said(201, {"created": True}, {"Location": f"/t/{record}"}, wrote=True)
        return self._written(row, 201)

    def _update(self, record: str, fields: Row, headers: Mapping[str, str]) -> Said:
        if record not in self.rows and self.has("patch_of_nothing"):
            return Said(204)
        row = self._row(record)
        self._match(row, headers)
        self._judge(fields)
        self._keep(row, fields)
        return self._written(row, 200)

    def _delete(self, record: str, headers: Mapping[str, str]) -> Said:
        if record not in self.rows and self.has("gone_is_400"):
            raise Refusal(400, "nothing_to_delete")
        self._match(self._row(record), headers)
        del self.rows[record]
        return Said(204, wrote=True)

    def _written(self, row: Row, status: int) -> Said:
        if self.has("parts"):
            part = {"status": status, **row}
            return Said(207, {"id": row["id"], "results": [part]}, wrote=True)
        said = self._shown(row, status)
        return Said(said.status, said.body, said.headers, wrote=True)

    # --- other programs

    def others_delete(self, ext: str) -> None:
        """A person deletes the row; where ids are used again, another row is given its id."""
        (record,) = [record for record, row in self.rows.items() if row.get("ext") == ext]
        own_id = self.rows.pop(record)["id"]
        if self.has("reuses_ids"):
            self.rows[record] = {"id": own_id, "ext": "theirs", "subject": "theirs"}

    # --- what is kept

    def _judge(self, fields: Row) -> None:
        ext = str(fields.get("ext", ""))
        if self.has("strict_ext") and not ext.replace("-", "").replace("_", "").isalnum() and ext:
            raise Refusal(400, "bad_ext")
        if self.has("needs_subject") and not fields.get("subject"):
            raise Refusal(400, "subject_wanted")

    def _keep(self, row: Row, fields: Row) -> None:
        for name, value in fields.items():
            if name == "id" or (self.has("drops_unknown") and name not in KNOWN_FIELDS):
                continue
            if value is None and self.has("ignores_null"):
                continue
            row[name] = self._kept(value)

    def _kept(self, value: Json) -> Json:
        if not isinstance(value, str):
            return value
        if self.has("cuts_text"):
            value = value[:CUT]
        return value.replace("\r\n", "\n").replace("\n", "\r\n") if self.has("crlf") else value

    def _match(self, row: Row, headers: Mapping[str, str]) -> None:
        if not self.has("if_match"):
            return
        given = headers.get("if-match")
        if given is None:
            raise Refusal(428, "if_match_wanted")
        if given != self._etag(row):
            raise Refusal(412, "changed")

    @staticmethod
    def _etag(row: Row) -> str:
        return f'"{len(json.dumps(row))}-{hash(json.dumps(row, sort_keys=True)) & 0xFFFF}"'
