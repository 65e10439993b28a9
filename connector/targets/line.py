"""Calls to one CRM: stamped with credentials, repeated over a blip, judged, counted and logged.

Invariants: `before_call` runs before every try, and only what it raises comes out of here. A repeat
whose predecessor's fate is unknown carries the same idempotency key. A refused token is renewed
once, a 403 is settled by a call that should work (`permission`).

A blip is over within two seconds; what lasts longer is left to the caller, who waits without a
thread. A create whose fate is unknown is never repeated here: sent twice at once it makes two rows.

Neighbours: `conversation` knows the record that the calls are about, `answers` what they mean.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import field, replace

from tenacity import (
    RetryCallState,
    Retrying,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from connector import turns
from connector.config.model import Call, TargetConfig
from connector.frozen import dataclass
from connector.model import CallLog
from connector.targets.answers import WRITES, Case, Judgement, judge
from connector.targets.auth import Credentials, NoCredentials, Stamp
from connector.targets.calls import Outgoing, fill_in
from connector.targets.http import STRAIGHT, Failure, Http, Result, Route
from connector.targets.idempotency import Numbers
from connector.targets.masking import Mask
from connector.targets.permission import Permission
from connector.targets.template import IDS, names_in

TRIES = 3
"""How often one call is tried, and within how many seconds, before the caller waits."""
BLIP_SECONDS = 2.0

_PATIENCE = 1.0  # the longest Retry-After that is waited for here
_CREATING = frozenset({"create", "upsert"})
_BODY_SHOWN = 2000  # characters of a body that are kept for operators
_BATCH_SHOWN = 300  # of a batch, which is noted at each of its records


@dataclass(frozen=True, slots=True)
class Crm:
    """What all calls to one target share. `routes`: to any other address than its own (a login's),
    and to its own."""

    config: TargetConfig
    credentials: Credentials
    mask: Mask
    routes: tuple[Route, Route] = (STRAIGHT, STRAIGHT)
    permission: Permission = field(default_factory=Permission)
    proven_searches: set[str] = field(default_factory=set)
    _named: dict[int, frozenset[str]] = field(default_factory=dict)

    def named_by(self, call: Call) -> frozenset[str]:
        """By what a configured call names its record, apart from its fields: `external_id`,
        `crm_id`, both or neither. Worked out once."""
        known = self._named.get(id(call))
        if known is None:
            known = names_in([call.path, call.query, call.headers, call.body]) & IDS
            self._named[id(call)] = known
        return known


class Line:
    """One call after the other, by one thread. `numbering` is that of a record's writes."""

    def __init__(
        self,
        crm: Crm,
        http: Http,
        before_call: Callable[[], None],
        numbering: Numbers | None = None,
    ) -> None:
        self.crm = crm
        self.calls: list[CallLog] = []
        self.mask = crm.mask
        self._http = http
        self._before_call = before_call
        self._numbering = numbering
        self._stamp: Stamp | None = None  # what the last call carried; None: no token was to be had

    def call(self, outgoing: Outgoing, case: Case) -> Judgement:
        """Makes a call and says what its answer means; never `forbidden`."""
        judgement = self._with_fresh_token(outgoing, case)
        if judgement.meaning == "forbidden":
            judgement = self._settled(judgement, outgoing, case)
        if judgement.meaning == "done" and case.resource:
            self.crm.permission.note(outgoing)
        return judgement

    def check(self) -> Judgement | None:
        """The target's `check:` call; None where it has none."""
        call = self.crm.config.check
        if call is None:
            return None
        config = self.crm.config
        return self.call(fill_in("check", call, config.base_url, {}, config.headers), Case("check"))

    def send_bare(self, outgoing: Outgoing) -> Result:
        """One try without credentials: how a token is fetched."""
        result, _ = self._send(outgoing, Stamp(), {}, Case(outgoing.kind))
        return result

    # --- one try, and when there is another

    def _with_fresh_token(self, outgoing: Outgoing, case: Case) -> Judgement:
        """Once more where a token was refused and another is to be had."""
        judgement = self._tried(outgoing, case)
        refused = self._stamp if _over(judgement, self._stamp) else None
        if refused and self.crm.credentials.renew(refused):
            return self._tried(outgoing, case)
        return judgement

    def _tried(self, outgoing: Outgoing, case: Case) -> Judgement:
        begun = time.monotonic()
        first = self._try(outgoing, case)
        if not _is_blip(outgoing, first):
            return first  # nearly always, and then there is nothing to keep account of
        known = [first]
        left = BLIP_SECONDS - (time.monotonic() - begun)
        result: Judgement = _blips(left)(
            lambda call, about: known.pop() if known else self._try(call, about), outgoing, case
        )
        return result

    def _try(self, outgoing: Outgoing, case: Case) -> Judgement:
        self._stamp = None
        try:
            stamp = self._stamp = self.crm.credentials.stamp(self.send_bare, outgoing)
        except NoCredentials as error:
            return error.judgement
        if stamp.secrets:
            self.mask = self.crm.mask.hiding(stamp.secrets)
        numbering = self._numbering if outgoing.kind in WRITES else None
        name = self.crm.config.idempotency_header
        keyed = {name: numbering.key(outgoing)} if numbering and name else {}
        _, judgement = self._send(outgoing, stamp, keyed, case)
        if numbering:
            numbering.note(judgement)
        return judgement

    def _send(
        self, outgoing: Outgoing, stamp: Stamp, headers: dict[str, str], case: Case
    ) -> tuple[Result, Judgement]:
        self._before_call()
        at = time.time_ns() // 1000
        request = outgoing.request(
            {**stamp.headers, **headers}, stamp.query, self.crm.routes[bool(outgoing.base)]
        )
        result = self._http.send(request, self.crm.config.timeout)
        judgement = judge(case, result)
        self._log(at, outgoing, result, judgement)
        return result, judgement

    def _log(self, at: int, outgoing: Outgoing, result: Result, judgement: Judgement) -> None:
        is_login = outgoing.kind == "login"
        holds_token = is_login and judgement.meaning == "done"
        self.calls.append(
            CallLog(
                at=at,
                method=outgoing.method,
                path=self.mask.text(outgoing.path),
                status=judgement.status,
                seconds=result.seconds,
                meaning=judgement.meaning,
                answer="" if holds_token else self.mask.beginning(result.text),
                request="" if is_login else self._sent(outgoing),
            )
        )

    def _sent(self, outgoing: Outgoing) -> str:
        """The beginning of a call's body; masked first, so that no secret is cut in two."""
        most = _BATCH_SHOWN if outgoing.kind == "batch" else _BODY_SHOWN
        return self.mask.text((outgoing.body or b"")[: 4 * most].decode(errors="replace"))[:most]

    # --- a 403

    def _settled(self, forbidden: Judgement, outgoing: Outgoing, case: Case) -> Judgement:
        """Credentials, or this record, or what is wrong with the call that should tell."""
        token = self._stamp.secrets if self._stamp else ()
        proof = self._proof(outgoing)
        works = proof is not None and proof.meaning == "done"
        if works and self._stamp and self._stamp.secrets != token:
            # The token had ended; the call that should work has got a fresh one.
            judgement = self._tried(outgoing, case)
            if judgement.meaning != "forbidden":
                return judgement
            forbidden = judgement
        if proof is None or works:
            return replace(forbidden, meaning="refused", look=_look_after_403(case))
        if proof.meaning == "credentials":
            reason = f"{forbidden.reason}; a call that should work is refused too: {proof.reason}"
            return replace(forbidden, meaning="credentials", reason=reason)
        return proof

    def _proof(self, forbidden: Outgoing) -> Judgement | None:
        """What a call that should work is answered; None where none proves anything."""
        if (answer := self.check()) or not (call := self.crm.permission.proof(forbidden)):
            return answer
        answer = self._with_fresh_token(call, Case("check"))
        return answer if self.crm.permission.proven(answer) else None


def _over(judgement: Judgement, stamp: Stamp | None) -> bool:
    """Whether the credentials may have ended; a session by cookie often ends with a redirect to
    its login page."""
    led_away = judgement.meaning == "misled" and judgement.status in (302, 303)
    return judgement.meaning == "credentials" or (
        led_away and stamp is not None and "Cookie" in stamp.headers
    )


def _look_after_403(case: Case) -> bool:
    """Whether a look at the CRM may show that the record is gone."""
    if case.call == "delete":
        return case.can_search
    return case.delivered and case.can_look


def _is_blip(outgoing: Outgoing, judgement: Judgement) -> bool:
    if judgement.meaning != "not_now" or (judgement.retry_after or 0.0) > _PATIENCE:
        return False
    if isinstance(judgement.result, Failure) and judgement.result.kind == "timed out":
        return not judgement.result.sent
    if outgoing.kind == "create" and judgement.status == 503:
        return False  # some gateways say so of a call that got through: the next delivery looks
    return not (judgement.unknown and outgoing.kind in _CREATING and outgoing.method == "POST")


_jittered = wait_random_exponential(multiplier=0.25, max=_PATIENCE)


def _wait(state: RetryCallState) -> float:
    """Full jitter, and at least what the CRM asked for."""
    judgement: Judgement | None = state.outcome.result() if state.outcome else None
    return max(_jittered(state), (judgement and judgement.retry_after) or 0.0)


def _again(state: RetryCallState) -> bool:
    if not state.outcome or state.outcome.failed:
        return False
    return _is_blip(state.args[0], state.outcome.result())


def _last(state: RetryCallState) -> Judgement:
    if state.outcome is None:
        raise TypeError("a call that stopped without a result")
    judgement: Judgement = state.outcome.result()
    return judgement


def _blips(seconds: float) -> Retrying:
    """Tries until a blip is over, or until so many seconds would be."""
    return Retrying(
        sleep=turns.sleep,
        stop=stop_after_attempt(TRIES) | stop_before_delay(seconds),
        wait=_wait,
        retry=_again,
        retry_error_callback=_last,
    )
