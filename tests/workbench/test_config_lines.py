"""A fault of config.yaml is shown in its line, and no secret with it."""

from __future__ import annotations

from typing import Any

import pytest

from connector.problems import without_values


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("token: s3cret", "token: ••••••"),
        ("    auth: {type: bearr, token: 's3'}", "    auth: {type: •••••, token: '••'}"),
        ("  - app_id: a-1", "  - app_id: •-•"),
        ('secrets: ["${CS_SECRET:-abc}"]', 'secrets: ["${CS_SECRET:-•••}"]'),
        ("token:s3cret", "•••••:••••••"),
        ("- s3cret", "- ••••••"),
        ("token: a: b", "token: •: •"),
        ("timeout: x  # s3cret", "timeout: •  "),
        ("# s3cret", ""),
        ("mật khẩu", "••• ••••"),
    ],
)
def test_values_cannot_be_read(line: str, shown: str) -> None:
    assert without_values(line) == shown


def test_a_fault_of_the_configuration_is_shown_with_a_caret(empty_desk: Any) -> None:
    empty_desk.folder.joinpath("config.yaml").write_text(
        "sources:\n  caresoft: {kind: caresoft, secrets: [s3cret], kid: s3cret}\n"
    )
    said = empty_desk.run("config", "check", code=1).stderr
    assert "config.yaml:2:49: sources.caresoft.kid: unknown key" in said
    assert "    2 |   caresoft: {kind: ••••••••, secrets: [••••••], kid: ••••••}\n" in said
    assert f"      | {' ' * 48}^" in said
    assert "s3cret" not in said
