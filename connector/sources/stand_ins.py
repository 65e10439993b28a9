"""Stand-ins for personal data in what vendors send: for tests made of real events, and examples.

The form stays, because mappings work with it: a mobile number stays one, a name keeps its words and
an HTML text its tags. The invariant: within one `StandIns` the same value always gets the same
stand-in, so that what was equal stays equal; and ids, times, choices of a list and numbers stay.

What is personal is told by the key: first by the catalogue, else by the words that the key is made
of. E-mail addresses and phone numbers are found in other texts too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle

from connector.model import Json
from connector.sources.catalogue import personal_keys

_NAMES = (
    *("Alfa", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "India"),
    *("Juliett", "Kilo", "Lima", "Mike", "November", "Oscar", "Papa", "Quebec", "Romeo"),
    *("Sierra", "Tango", "Uniform", "Victor", "Whiskey", "Xray", "Yankee", "Zulu"),
)  # nobody's, so that what is left of a real name shows
_DIGITS = "1234567890"
_FILLER = "loremipsumdolorsitametconsecteturadipiscingelit"
_TEXT_TYPES = frozenset({"", "0", "5", "6"})  # of custom fields: text, link, long text, untold
_SHORTEST_NUMBER = 9  # digits; a shorter number is a line of a company
_KEPT_DIGITS = 4  # of a phone number: country or operator, which decide whether it is one

_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"(?<![\w.-])\+?(?:84|0)(?:[ .()-]{0,2}\d){8,10}(?![\w-])")
_NUMBER = re.compile(r"\+?\d(?:[ .()-]{0,2}\d)+")
_LINK = re.compile(r"(?:https?:)?//[^\s\"'<>]+|www\.[^\s\"'<>]+")
_DOMAIN = re.compile(r"[\w-]+(?:\.[\w-]+)*\.(?:com|info|io|me|net|org|vn)(?:/\S*)?")
_FILE = re.compile(r"\.(?:gif|jpe?g|mp3|mp4|ogg|pdf|png|wav|webp)$")
_PIECES = re.compile(
    rf"(?P<tag><[^<>]*>)|(?P<entity>&\w+;|&#\w+;)|(?P<link>{_LINK.pattern})"
    rf"|(?P<email>{_EMAIL.pattern})|(?P<phone>{_PHONE.pattern})|(?P<word>[^\W\d_]+)|(?P<digits>\d+)"
)
_ATTRIBUTE = re.compile(
    r"(\b(?:href|src|title|alt|value|name|data-[\w-]+)\s*=\s*)(\"[^\"]*\"|'[^']*')"
)
_KEY_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")

_BY_WORD: Mapping[str, str] = {
    **dict.fromkeys(("phone", "mobile", "tel", "telephone", "hotline", "fax", "caller"), "phone"),
    **dict.fromkeys(("email", "mail"), "email"),
    **dict.fromkeys(("avatar", "facebook", "zalo", "instagram", "url", "link"), "link"),
}
_BY_LAST_WORD: Mapping[str, str] = {
    **dict.fromkeys(("username", "fullname", "nickname"), "name"),
    **dict.fromkeys(
        (
            *("address", "body", "comment", "content", "description", "detail", "details"),
            *("message", "note", "notes", "remark", "subject", "text", "title"),
        ),
        "text",
    ),
}
_NAMED_THINGS = frozenset({"field", "event", "node", "file", "type", "kind", "status", "source"})
_IDS = frozenset({"id", "ids", "code", "key", "hash", "token", "at", "time", "type", "status"})


class StandIns:
    """Replaces personal data, the same value always by the same stand-in."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self._names = cycle(_NAMES)

    def body(self, value: Json, key: str = "") -> Json:
        """JSON as a vendor sends it, or as a document has it; `key` is what it stands under."""
        if isinstance(value, dict):
            return {k: self.body(v, _meant(k, key, value)) for k, v in value.items()}
        if isinstance(value, list):
            return [self.body(item, key) for item in value]
        if isinstance(value, str):
            return self.text(value, key)
        if isinstance(value, int) and not isinstance(value, bool) and personal(key) == "phone":
            return int(self.text(str(value), key))
        return value

    def text(self, text: str, key: str) -> str:
        """One text under a key."""
        return _WAYS[personal(key)](self, text, key) if text.strip() else text

    def _once(self, what: str, original: str, make: Callable[[int], str]) -> str:
        """The stand-in of `original`; `make` is given how many of its sort were made, from 1."""
        if (what, original) not in self._known:
            self._counts[what] = self._counts.get(what, 0) + 1
            self._known[what, original] = make(self._counts[what])
        return self._known[what, original]

    # --- ways

    def _found(self, text: str, key: str) -> str:
        """A text that is not known to be personal: addresses and numbers in it are."""
        return (
            text if _key_words(key)[-1:] and _key_words(key)[-1] in _IDS else self._addresses(text)
        )

    def _addresses(self, text: str) -> str:
        text = _EMAIL.sub(lambda found: self._email(found[0]), text)
        return _PHONE.sub(lambda found: self._phone(found[0]), text)

    def _phones(self, text: str, _: str) -> str:
        return _NUMBER.sub(lambda found: self._phone(found[0]), text)

    def _emails(self, text: str, _: str) -> str:
        if _EMAIL.search(text):
            return _EMAIL.sub(lambda found: self._email(found[0]), text)
        return self._letters(text)

    def _name(self, text: str, _: str) -> str:
        def piece(found: re.Match[str]) -> str:
            word = found[0]
            if not word[0].isalpha():
                return self._letters(word)
            given = self._once("name", word.casefold(), lambda _: next(self._names))
            return given.upper() if word.isupper() and len(word) > 1 else given

        return re.sub(r"[^\W\d_]+|\d+", piece, self._addresses(text))

    def _text(self, text: str, _: str) -> str:
        return self._once("text", text, lambda _: self._pieces(text))

    def _pieces(self, text: str) -> str:
        """Other words, between the same tags and marks."""
        letters, digits = cycle(_FILLER), cycle(_DIGITS)

        def piece(found: re.Match[str]) -> str:
            way = _PIECE_WAYS.get(str(found.lastgroup))
            return way(self, found[0]) if way else _other(found[0], letters, digits)

        return _PIECES.sub(piece, text)

    def _links(self, text: str, _: str) -> str:
        if _LINK.fullmatch(text.strip()):
            return self._link(text)
        if _DOMAIN.fullmatch(text.strip()):
            return self._once("domain", text, lambda n: f"example{n}.vn")
        return self._letters(text)

    # --- pieces

    def _tag(self, tag: str) -> str:
        def value(found: re.Match[str]) -> str:
            quote, inner = found[2][0], found[2][1:-1]
            return f"{found[1]}{quote}{self._pieces(inner)}{quote}"

        return _ATTRIBUTE.sub(value, tag)

    def _email(self, address: str) -> str:
        made = self._once("email", address.casefold(), lambda n: f"person{n}@example.vn")
        return made.upper() if address.isupper() else made

    def _phone(self, number: str) -> str:
        """The same number of digits and the same marks between them; a company's line stays."""
        digits = re.sub(r"\D", "", number)
        if len(digits) < _SHORTEST_NUMBER or digits.startswith(("1800", "1900")):
            return number
        local = digits.removeprefix("84") if not digits.startswith("0") else digits[1:]
        kept = len(digits) - len(local) + _KEPT_DIGITS - 1
        tail = self._once("phone", local, lambda n: f"{n:0{len(local)}d}")[-(len(digits) - kept) :]
        replaced = iter(digits[:kept] + tail)
        return re.sub(r"\d", lambda _: next(replaced), number)

    def _link(self, link: str) -> str:
        ending = _FILE.search(link.strip().partition("?")[0].lower())
        return f"https://example.vn/{self._once('link', link, str)}{ending[0] if ending else ''}"

    def _letters(self, text: str) -> str:
        """Other letters and digits in the same places."""

        return self._once("letters", text, lambda _: _other(text, cycle(_FILLER), cycle(_DIGITS)))


def _other(text: str, letters: Iterator[str], digits: Iterator[str]) -> str:
    """Other letters and digits, the same marks; capitals stay capitals."""

    def character(letter: str) -> str:
        if letter.isdigit():
            return next(digits)
        if not letter.isalpha():
            return letter
        return next(letters).upper() if letter.isupper() else next(letters)

    return "".join(map(character, text))


def personal(key: str) -> str:
    """What a value under a key may tell of a person: phone, email, name, text, link, or nothing."""
    if (known := personal_keys().get(key)) is not None:
        return known
    words = _key_words(key)
    if not words or words[-1] in _IDS:
        return ""
    found = next((_BY_WORD[word] for word in words if word in _BY_WORD), None)
    if found:
        return found
    if words[-1] == "name":
        return "" if words[:-1] and words[-2] in _NAMED_THINGS else "name"
    return _BY_LAST_WORD.get(words[-1], "")


def _key_words(key: str) -> list[str]:
    return [word.lower() for word in _KEY_WORDS.findall(key) if not word.isdigit()]


def _meant(key: str, outer: str, holder: Mapping[str, Json]) -> str:
    """The key that a value stands for, where its holder names a field and tells of it.

    `{"field": "username", "value": …}` tells of `username`, and of a custom field by its type;
    `{"field_key": "description", "add": […], "change": [{"from": …, "to": …}]}` of `description`.
    """
    if isinstance(holder.get("field_key"), str):
        return str(holder["field_key"]) if key in ("add", "remove", "change") else ""
    if key in ("from", "to") and holder.keys() <= {"from", "to"}:
        return outer
    if isinstance(holder.get("field"), str):
        if key != "value":
            return ""
        if not re.fullmatch(r"addition_field\d+", holder["field"]):
            return str(holder["field"])
        return "text" if str(holder.get("type", "")) in _TEXT_TYPES else ""
    if re.fullmatch(r"addition_field\d+", key):
        return "text"
    return key


_WAYS: Mapping[str, Callable[[StandIns, str, str], str]] = {
    "": StandIns._found,
    "phone": StandIns._phones,
    "email": StandIns._emails,
    "name": StandIns._name,
    "text": StandIns._text,
    "link": StandIns._links,
}
_PIECE_WAYS: Mapping[str, Callable[[StandIns, str], str]] = {
    "tag": StandIns._tag,
    "entity": lambda _, entity: entity,
    "link": StandIns._link,
    "email": StandIns._email,
    "phone": StandIns._phone,
}
