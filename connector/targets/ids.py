"""External ids in the form that a CRM can take (`id_format`, docs/configuration.md). Pure.

The formatted id is the external id wherever the CRM sees it: in paths, bodies and searches, and in
references to records of a resource without `crm_id`.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from hashlib import sha256

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def format_id(id_format: str, external_id: str) -> str:
    """`external_id` as `any` (itself), `slug` or `uuid`."""
    return _FORMATS[id_format](external_id)


def _slug(external_id: str) -> str:
    """Itself where it is one; else its ASCII letters and digits and, so that two ids stay two,
    eight digits of its hash (alone, where nothing else is left)."""
    if _SLUG.fullmatch(external_id):
        return external_id
    plain = unicodedata.normalize("NFKD", external_id.replace("đ", "d").replace("Đ", "D"))
    words = re.findall("[a-z0-9]+", plain.encode("ascii", "ignore").decode().lower())
    digits = sha256(external_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return "-".join([*words, digits])


def _uuid(external_id: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, external_id))


_FORMATS: Mapping[str, Callable[[str], str]] = {"any": str, "slug": _slug, "uuid": _uuid}
