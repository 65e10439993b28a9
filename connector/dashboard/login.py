"""Signing in and out, and the language of the pages.

Invariants: nothing tells whether a name or a password was wrong; guessing is slow, for an address
and for a name, whether Redis is there or not; a session begins anew with every sign-in, so that one
known before it is worth nothing.
"""

from __future__ import annotations

from flask import Blueprint, Response, g, redirect, request, session, url_for
from flask_babel import gettext as _
from flask_limiter import Limiter
from flask_login import login_user, logout_user
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response as BaseResponse
from wtforms import HiddenField, PasswordField, StringField
from wtforms.validators import InputRequired, Length

from connector import accounts
from connector.config import User
from connector.dashboard.access import is_https, safe_next
from connector.dashboard.room import Room, page, person

LANGUAGES = {"vi": "Tiếng Việt", "en": "English"}
LANGUAGE_COOKIE = "connector_language"
YEAR = 365 * 86_400

PER_ADDRESS = "10 per minute; 60 per hour"
PER_NAME = "10 per 5 minutes"
"""How many sign-ins may fail."""


class Form(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """Name, password, and where to go then."""

    name = StringField(validators=[InputRequired(), Length(max=64)])
    password = PasswordField(validators=[InputRequired(), Length(max=1024)])
    next = HiddenField()


class SignedIn:
    """A person with a session, as Flask-Login wants one. `token` None: a local visitor."""

    is_active = is_authenticated = True
    is_anonymous = False

    def __init__(self, person: accounts.Person, token: str | None) -> None:
        self.person = person
        self.token = token

    def get_id(self) -> str | None:
        """What the session's cookie holds."""
        return self.token

    def may(self, permission: accounts.Permission) -> bool:
        """Whether this person may."""
        return self.person.may(permission)


def blueprint(room: Room, limiter: Limiter) -> Blueprint:
    """The pages for signing in and out."""
    pages = Blueprint("login", __name__)

    @pages.get("/login")
    def show() -> str | BaseResponse:
        if not room.config.users:
            return redirect(url_for("overview.show"))
        return page("login.html", form=Form(next=safe_next(request.args.get("next"))))

    @pages.post("/login")
    @limiter.limit(PER_ADDRESS, deduct_when=_has_failed)
    @limiter.limit(PER_NAME, key_func=_asked_name, deduct_when=_has_failed)
    def sign_in() -> BaseResponse | tuple[str, int]:
        form = Form()
        user = _the_user(room, form) if form.validate_on_submit() else None
        if user is None:
            g.sign_in_failed = True
            # Somebody may have typed a password where the name goes: only names that there are.
            known = _asked_name() in room.config.users
            room.note("sign_in_refused", who=_asked_name() if known else "?")
            return page("login.html", form=form, error=_("Name or password is wrong.")), 401
        session.clear()
        token = accounts.open_session(room.client, user, room.config.dashboard.session_hours)
        login_user(SignedIn(accounts.Person(user.name, user.role), token))
        room.note("sign_in", who=user.name)
        return redirect(safe_next(form.next.data) or url_for("overview.show"))

    @pages.post("/logout")
    def sign_out() -> BaseResponse:
        if token := session.get("_user_id"):
            accounts.close_session(room.client, token)
            room.note("sign_out", who=person().name)
        logout_user()
        session.clear()
        return redirect(url_for("login.show"))

    @pages.get("/language/<code>")
    def language(code: str) -> BaseResponse:
        response: Response = redirect(safe_next(request.args.get("next")) or "/")  # type: ignore[assignment]
        if code in LANGUAGES:
            response.set_cookie(
                LANGUAGE_COOKIE,
                code,
                max_age=YEAR,
                httponly=True,
                samesite="Lax",
                secure=is_https(request),
            )
        return response

    return pages


def _the_user(room: Room, form: Form) -> User | None:
    """Whose name and password these are."""
    user = room.config.users.get(form.name.data.strip())
    return user if accounts.matches(user, form.password.data) else None


def _has_failed(_response: Response) -> bool:
    return bool(g.get("sign_in_failed"))


def _asked_name() -> str:
    return request.form.get("name", "").strip()[:64]
