"""Phone numbers as one spelling: `phone`.

Invariant: a number is rewritten only when it is certainly one; whatever else stands in the field
(a masked number, two numbers, a name) stays as it came. Neighbours: `functions` registers it.
"""

from __future__ import annotations

import re
from functools import lru_cache

from connector.mapping.arguments import Context, described, text_of, wrong
from connector.model import Json

_LONGEST = 60  # characters; keeps the cache small

# Digits and what people put between them; no letters, because the library reads `0889xxx999` as
# keys of a phone. The marks are invisible ones that address books copy along.
_MARKS = r"\u200b-\u200f\u202a-\u202e\u2060"
_DIALLED = re.compile(
    rf"(?:tel:)?[\s({_MARKS}]*[+＋]?[\s({_MARKS}]*\d[\d\s().\-\u2010-\u2015{_MARKS}]*",
    re.IGNORECASE,
)
_NO_DIGIT = re.compile(r"\D+")
_HOTLINE = re.compile(r"1[89]00\d{0,6}|\d{1,6}")  # Vietnam's service numbers have at most 10 digits


def phone(context: Context, value: Json, region: Json = None) -> Json:
    """E.164 with plus: `+84889999999`; a number without a country is one of `region` (VN).

    A hotline (1800…, 1900…, or at most 6 digits) stays as it came, trimmed; so does what is no
    valid number, with a warning. A JSON number has lost its leading zero and is read all the same.
    """
    where = region_named("phone", region)
    text = text_of(value, "phone").strip()
    if not text:
        return ""
    if len(text) <= _LONGEST and _DIALLED.fullmatch(text):
        if _HOTLINE.fullmatch(_NO_DIGIT.sub("", text)) and not {"+", "＋"} & set(text):
            return text
        if number := _e164(text, where):
            return number
    context.warn(f"phone() found {described(value)}, which is no phone number; kept as it came")
    return text


def region_named(function: str, region: Json) -> str:
    """A region's two letters; null is VN. Raises FunctionError for an unknown one."""
    if region is None:
        return "VN"
    import phonenumbers  # a megabyte, for mappings that have a number to read

    code = region.upper() if isinstance(region, str) else ""
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise wrong(function, region, "a region's two letters like 'VN'")
    return code


@lru_cache(maxsize=1024)
def _e164(text: str, region: str) -> str | None:
    """The number's E.164 form, None when it is no valid number. Cached: parsing is slow."""
    import phonenumbers

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
