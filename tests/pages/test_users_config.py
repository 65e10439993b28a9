"""`users:`, `dashboard:` and `audit:` of config.yaml: read, checked, told where they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from connector import accounts
from connector.config import Audit, Config, Dashboard, load
from connector.errors import ConfigInvalid
from connector.redaction import secrets_of

GOOD = """\
sources: {caresoft: {kind: caresoft, unsigned: true}}
targets: {crm: {base_url: http://crm.example}}
"""


def read(folder: Path, text: str, **environ: str) -> Config:
    file = folder / "config.yaml"
    file.write_text(GOOD + text)
    return load(file, environ)


def test_everything_of_the_dashboard_may_be_left_out(tmp_path: Path) -> None:
    config = read(tmp_path, "")
    assert (config.users, config.dashboard, config.audit) == ({}, Dashboard(), Audit())


def test_a_user_may_come_from_the_environment_and_is_never_shown(tmp_path: Path) -> None:
    hashed = accounts.hash_password("a long password")
    text = "users: {mai@crm.vn: {password: '${MAI}', role: editor}, vy: {password: '${MAI}'}}\n"
    config = read(tmp_path, text, MAI=hashed)
    assert config.users["mai@crm.vn"].role == "editor"
    assert config.users["vy"].role == "viewer"
    assert accounts.matches(config.users["vy"], "a long password")
    assert hashed not in repr(config)
    assert hashed in set(secrets_of(config))  # and so in no log


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("users: {mai: {password: secret}}", "this value is not the hash of a password"),
        ("users: {mai: {password: '${MAI}'}}", "the value of MAI is not the hash of a password"),
        ("users: {mai: {role: editor}}", "users.mai.password: is missing"),
        ("users: {mai: {password: x, role: admin}}", "'admin' where viewer or operator or editor"),
        ("users: {'a b': {password: x}}", "not usable as a name"),
        ("dashboard: {edit: true}", "dashboard.edit: unknown key"),
        ("dashboard: {session_hours: 0}", "0 where a number above 0"),
        ("dashboard: {local_role: root}", "'root' where viewer or operator or editor"),
        ("audit: {entries: 0}", "0 where a whole number of at least 1"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_without_the_password(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        read(tmp_path, text + "\n", MAI="open sesame")
    assert told in str(caught.value)
    assert f"{tmp_path / 'config.yaml'}:3:" in str(caught.value)
    assert "secret" not in str(caught.value).replace("a secret", "")
    assert "sesame" not in str(caught.value)
