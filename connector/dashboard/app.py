"""The application of the pages: sessions, forms, languages, limits, and the guard before all.

Invariant: every request passes the guard first; whatever goes wrong is a page without a word of
what is inside. Made once per web process, at the first request for a page.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Semaphore
from typing import Any

from flask import Flask, Response, abort, g, make_response, redirect, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from flask_babel import Babel, get_locale
from flask_babel import gettext as _
from flask_limiter import Limiter
from flask_limiter.errors import RateLimitExceeded
from flask_login import AnonymousUserMixin, LoginManager, current_user
from flask_wtf import CSRFProtect
from flask_wtf.csrf import CSRFError
from redis.exceptions import OutOfMemoryError, RedisError
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response as BaseResponse

from connector import accounts, assemble
from connector.accounts import Person
from connector.config import Config
from connector.dashboard import (
    access,
    audits,
    events,
    letters,
    login,
    mappings,
    overview,
    records,
    shown,
    targets,
)
from connector.dashboard.counting import Counts
from connector.dashboard.login import LANGUAGE_COOKIE, LANGUAGES, SignedIn
from connector.dashboard.room import Room, page
from connector.dashboard.words import REFUSALS
from connector.errors import ConnectorError
from connector.redisdb import PREFIX, Redis

log = logging.getLogger(__name__)

LARGEST_FORM = 2 << 20
"""Bytes of a form: a mapping file and some."""

TRANSLATIONS = Path(__file__).parent / "translations"


class Sessions(SecureCookieSessionInterface):
    """Signed cookies that stay with https where the browser came by it."""

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether the browser may send it by https only."""
        return access.is_https(request)


def create_app(config: Config, client: Redis, spooled: Callable[[], int | None]) -> Flask:
    """The pages of one installation. Raises RedisError while Redis is away."""
    app = Flask("connector.dashboard", root_path=str(Path(__file__).parent))
    app.session_interface = Sessions()
    app.config.update(
        SECRET_KEY=accounts.session_key(client, config),
        SESSION_COOKIE_NAME="connector_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=LARGEST_FORM,
        MAX_FORM_MEMORY_SIZE=LARGEST_FORM,
        SEND_FILE_MAX_AGE_DEFAULT=365 * 86_400,
        WTF_CSRF_TIME_LIMIT=None,
        BABEL_TRANSLATION_DIRECTORIES=str(TRANSLATIONS),
        BABEL_DEFAULT_TIMEZONE=str(config.timezone),
    )
    if config.dashboard.proxies:
        hops = config.dashboard.proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    room = Room(config, client, assemble.reconciler(config, client), spooled)
    slots = Semaphore(access.HEAVY_AT_ONCE)
    app.before_request(lambda: _guard(room))
    app.before_request(lambda: _take_slot(slots))
    app.teardown_request(lambda _error: slots.release() if g.pop("has_slot", False) else None)
    app.after_request(_protect)
    _add_login(app, room)
    CSRFProtect(app)
    Babel(app, locale_selector=_language)
    limiter = _limiter(app, client)
    for made in (
        login.blueprint(room, limiter),
        overview.blueprint(room),
        events.blueprint(room),
        records.blueprint(room),
        letters.blueprint(room),
        mappings.blueprint(room),
        targets.blueprint(room),
        audits.blueprint(room),
    ):
        app.register_blueprint(made)
    _add_errors(app, room)
    _add_words(app, room)
    return app


# --- who may


def _guard(room: Room) -> BaseResponse | None:
    """Lets a request through that its page is for; the rest is sent to sign in, or away."""
    endpoint = request.endpoint
    if not room.config.users and not access.is_local(request):
        abort(403, _("Without users the dashboard answers this machine only."))
    if endpoint is None:
        return None  # no such page, or not by this method
    need = access.NEEDS.get(endpoint)
    if need is None:
        abort(403)
    if need == "nothing":
        return None
    if not current_user.is_authenticated:
        return _to_login()
    if not current_user.may(need):
        abort(403, _("Your role does not allow this."))
    return None


def _take_slot(slots: Semaphore) -> None:
    """Leaves threads to the webhooks: what takes long waits for a slot, and not for long."""
    if request.endpoint not in access.HEAVY:
        return
    if not slots.acquire(timeout=access.HEAVY_SECONDS):
        abort(503, _("Others are searching or planning just now. Try again in a moment."))
    g.has_slot = True


def _to_login() -> BaseResponse:
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    address = url_for("login.show", next=access.safe_next(wanted))
    if request.headers.get("HX-Request") == "true":
        return Response("", 204, {"HX-Redirect": url_for("login.show")})
    return redirect(address)


def _add_login(app: Flask, room: Room) -> None:
    manager = LoginManager(app)

    @manager.user_loader  # type: ignore[untyped-decorator]
    def known(token: str) -> SignedIn | None:
        stay = not access.is_by_itself(request)
        found = accounts.find_session(room.client, room.config, token, stay=stay)
        return SignedIn(found, token) if found else None

    @manager.request_loader  # type: ignore[untyped-decorator]
    def local(_request: object) -> SignedIn | None:
        if room.config.users:
            return None
        return SignedIn(Person("local", room.config.dashboard.local_role), None)


def _limiter(app: Flask, client: Redis) -> Limiter:
    """Counts in Redis for all web processes together; in memory while Redis is away or full."""
    return Limiter(
        lambda: request.remote_addr or "unknown",
        app=app,
        storage_uri=Counts.URI,
        storage_options={
            "connection_pool": client.connection_pool,
            "key_prefix": f"{PREFIX}limit",
        },
        in_memory_fallback_enabled=True,
        strategy="fixed-window",
        headers_enabled=False,
    )


# --- every answer


def _protect(response: Response) -> Response:
    response.headers.extend(access.HEADERS)
    if access.is_https(request):
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


def _add_errors(app: Flask, room: Room) -> None:
    @app.errorhandler(RedisError)
    def away(error: RedisError) -> Response:
        # From a script it comes as any other error.
        if isinstance(error, OutOfMemoryError) or "OOM" in str(error):
            why = _("Nothing can be written until it has room again; what is kept can be read.")
            return _told(503, _("Redis is full"), why)
        log.warning("a page: Redis is away (%s)", type(error).__name__)
        g._login_user = AnonymousUserMixin()  # who it is stands in Redis: not asked again
        spooled = room.spooled()
        if spooled is None:
            why = _("Events are refused meanwhile, for no spool is configured; try again.")
        else:
            why = _("Events go to the disk meanwhile, %(n)s so far; try again.", n=spooled)
        return _told(503, _("Redis is away"), why)

    @app.errorhandler(ConnectorError)
    def not_now(error: ConnectorError) -> Response:
        return _told(409, _("Nothing was done"), str(error))

    @app.errorhandler(CSRFError)
    def stale(error: CSRFError) -> Response:
        log.info("a form was refused: %s", error.description)
        why = _("The form has expired. Go back, load the page again, and repeat.")
        return _told(400, _("Nothing was done"), why)

    @app.errorhandler(RateLimitExceeded)
    def too_often(_error: RateLimitExceeded) -> Response:
        return _told(429, _("Too many attempts"), _("Wait a few minutes, then try again."))

    @app.errorhandler(HTTPException)
    def other(error: HTTPException) -> Response:
        code = error.code or 500
        own = error.description if error.description != type(error).description else ""
        return _told(code, REFUSALS.get(code, error.name), own or "")

    @app.errorhandler(Exception)
    def fault(error: Exception) -> Response:
        log.exception("a page failed: %s", type(error).__name__)
        return _told(500, _("Something went wrong"), _("The log of the web process says what."))


def _told(status: int, title: str, why: str) -> Response:
    return make_response(page("told.html", title=title, why=why), status)


# --- what every page knows


def _language() -> str:
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    return chosen if chosen in LANGUAGES else request.accept_languages.best_match(LANGUAGES, "en")


def _add_words(app: Flask, room: Room) -> None:
    """Filters and functions of the templates."""
    app.jinja_env.filters |= shown.filters(room.config.timezone)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    versions = _versions(Path(app.static_folder or ""))

    @app.context_processor
    def words() -> dict[str, Any]:
        return {
            "asset": lambda name: url_for("static", filename=name, v=versions[name]),
            "languages": LANGUAGES,
            "language": str(get_locale()),
            "may": current_user.may if current_user.is_authenticated else _nothing,
            "who": current_user.person if current_user.is_authenticated else None,
            "with_users": bool(room.config.users),
            "dead_count": lambda: int(room.client.zcard(f"{PREFIX}dead")),
            "here": request.full_path.rstrip("?") if request.method == "GET" else "/",
            "notice": session.pop("notice", None) if session.get("notice") else None,
        }


def _nothing(_permission: str) -> bool:
    return False


def _versions(folder: Path) -> dict[str, str]:
    """For each static file what its address changes with, so that browsers may keep it."""
    return {
        file.relative_to(folder).as_posix(): sha256(file.read_bytes()).hexdigest()[:12]
        for file in folder.rglob("*")
        if file.is_file()
    }
