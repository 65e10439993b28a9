"""What the tests of releases stand on; `office.Office` is the manual."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from office import Office


@pytest.fixture
def office(tmp_path: Path, redis_url: str, fake_crm: Any) -> Office:
    return Office(tmp_path, redis_url, fake_crm.url)
