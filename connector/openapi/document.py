"""An OpenAPI file: 3.0, 3.1 or Swagger 2.0, in JSON or YAML.

The invariants: nothing is fetched, whatever a reference says, and the work is bounded however the
file refers to itself. Raises Invalid for a file that is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from connector.errors import Invalid
from connector.model import Json, Place, Problem
from connector.openapi.tolerant import load

MOST_BYTES = 20 * 1024 * 1024
_MOST_STEPS = 50  # references to references

METHODS = ("get", "post", "put", "patch", "delete")
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call that the file describes. `request` is None where it tells of no body;
    `credentials` are the names of the ways that it says are good for it."""

    method: str
    path: str
    parameters: tuple[Mapping[str, Json], ...]
    request: Json = None
    media_type: str | None = None
    answers: Mapping[str, Json] = field(default_factory=dict)
    credentials: tuple[str, ...] = ()

    @property
    def answer(self) -> Json:
        """The schema of the first 2xx answer that has one."""
        good = (schema for code, schema in sorted(self.answers.items()) if code.startswith("2"))
        return next((schema for schema in good if schema), None)

    def parameter(self, where: str) -> list[Mapping[str, Json]]:
        """The parameters in path, query or header."""
        return [each for each in self.parameters if each.get("in") == where]


class Spec:
    """A file that was read."""

    def __init__(self, data: Mapping[str, Json], name: str) -> None:
        self.data = data
        self.name = name
        self.remote: set[str] = set()
        """References to other files and addresses, which were not followed."""

    @property
    def is_swagger(self) -> bool:
        """Whether it is of the old form, 2.0."""
        return "swagger" in self.data

    @property
    def title(self) -> str:
        """What it says it describes."""
        info = _map(self.data.get("info"))
        return f"{info.get('title', 'an API')} {info.get('version', '')}".strip()

    def resolve(self, node: Json) -> Json:
        """The node, or what it refers to within the file; an empty map where that is nowhere."""
        for _ in range(_MOST_STEPS):
            if not isinstance(node, dict) or not isinstance(node.get("$ref"), str):
                return node
            node = self._find(node["$ref"])
        return {}

    def schemas(self) -> Mapping[str, Json]:
        """The named schemas."""
        if self.is_swagger:
            return _map(self.data.get("definitions"))
        return _map(_map(self.data.get("components")).get("schemas"))

    def operations(self) -> Iterator[Operation]:
        """Every call, in the order of the file."""
        for path, item in _map(self.data.get("paths")).items():
            inner = _map(self.resolve(item))
            for method in METHODS:
                operation = self.resolve(inner.get(method))
                if isinstance(operation, dict):
                    yield self._operation(method, str(path), inner, operation)

    def servers(self) -> list[str]:
        """The base addresses that it names."""
        if self.is_swagger:
            host, base = self.data.get("host"), self.data.get("basePath") or ""
            schemes = _list(self.data.get("schemes")) or ["https"]
            if not host:
                return [base.rstrip("/")] if isinstance(base, str) and base.strip("/") else []
            secure_first = sorted(schemes, key=lambda scheme: scheme != "https")
            return [f"{scheme}://{host}{base}".rstrip("/") for scheme in secure_first]
        urls = (_filled(_map(server)) for server in _list(self.data.get("servers")))
        return [url.rstrip("/") for url in urls if url.strip("/")]

    def security(self) -> Mapping[str, Json]:
        """The ways of credentials by name."""
        if self.is_swagger:
            return _map(self.data.get("securityDefinitions"))
        return _map(_map(self.data.get("components")).get("securitySchemes"))

    def _credentials(self, operation: Mapping[str, Json]) -> tuple[str, ...]:
        said = operation.get("security", self.data.get("security"))
        return tuple(name for each in _list(said) for name in _map(each) if len(_map(each)) == 1)

    def _operation(
        self, method: str, path: str, item: Mapping[str, Json], operation: Mapping[str, Json]
    ) -> Operation:
        listed = [*_list(item.get("parameters")), *_list(operation.get("parameters"))]
        parameters = [_map(self.resolve(each)) for each in listed]
        request, media = self._request(operation, parameters)
        answers = {
            str(code): self._answer(_map(self.resolve(answer)))
            for code, answer in _map(operation.get("responses")).items()
        }
        kept = tuple(each for each in parameters if each.get("in") in ("path", "query", "header"))
        names = self._credentials(operation)
        return Operation(method.upper(), path, kept, request, media, answers, names)

    def _request(
        self, operation: Mapping[str, Json], parameters: list[Mapping[str, Json]]
    ) -> tuple[Json, str | None]:
        if self.is_swagger:
            body = next((each for each in parameters if each.get("in") == "body"), {})
            form = [each for each in parameters if each.get("in") == "formData"]
            return (_as_schema(form), FORM) if form and not body else (body.get("schema"), None)
        content = _map(_map(self.resolve(operation.get("requestBody"))).get("content"))
        media = _chosen(content, FORM)
        return _map(content.get(media or "")).get("schema"), None if media == "*/*" else media

    def _answer(self, answer: Mapping[str, Json]) -> Json:
        if self.is_swagger:
            return answer.get("schema")
        content = _map(answer.get("content"))
        return _map(content.get(_chosen(content) or "")).get("schema")

    def _find(self, reference: str) -> Json:
        if not reference.startswith("#"):
            self.remote.add(reference)
            return {}
        node: Json = self.data
        for step in unquote(reference[1:]).split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and key.isdecimal() and int(key) < len(node):
                node = node[int(key)]
            elif isinstance(node, dict) and key in node:
                node = node[key]
            else:
                return {}
        return node


def _chosen(content: Mapping[str, Json], otherwise: str | None = None) -> str | None:
    """The media type to speak: plain JSON before that of a vendor, then any, then `otherwise`."""
    names = [media for media in content if isinstance(media, str)]
    plain = [name for name in names if name.partition(";")[0].strip() == "application/json"]
    json_ = [name for name in names if name.partition(";")[0].strip().endswith("json")]
    # What a patch of JSON Patch (RFC 6902) sends is no record.
    merged = [name for name in json_ if not name.startswith("application/json-patch")]
    any_ = [name for name in names if name == "*/*"]
    forms = [name for name in names if otherwise and name.partition(";")[0] == otherwise]
    return next(iter([*plain, *merged, *any_, *forms]), None)


def _as_schema(form: list[Mapping[str, Json]]) -> Json:
    """The fields of a form of Swagger 2.0 as the schema of a body."""
    return {
        "type": "object",
        "properties": {str(each.get("name")): dict(each) | {"in": None} for each in form},
        "required": [str(each.get("name")) for each in form if each.get("required") is True],
    }


def _filled(server: Mapping[str, Json]) -> str:
    """The address of a server with the defaults of its variables."""
    url = server.get("url")
    if not isinstance(url, str):
        return ""
    for name, variable in _map(server.get("variables")).items():
        default = _map(variable).get("default")
        if isinstance(default, str):
            url = url.replace("{" + str(name) + "}", default)
    return url


def read(file: Path) -> Spec:
    """The document of a file. Raises Invalid with the place of what is wrong."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise Invalid([Problem(f"cannot read {file}: {error.strerror}")]) from None
    if len(raw) > MOST_BYTES:
        raise _invalid(file, f"{len(raw)} bytes", f"at most {MOST_BYTES} are read")
    data = _parsed(raw, file)
    version = str(_map(data).get("openapi") or _map(data).get("swagger") or "")
    if not isinstance(data, dict) or version.split(".")[0] not in ("2", "3"):
        hint = "it should say `openapi: 3.…` or `swagger: '2.0'` at the top"
        raise _invalid(file, "no OpenAPI document", hint)
    if not _map(data.get("paths")):
        raise _invalid(file, "it describes no paths", "is it a file of schemas only?")
    return Spec(data, file.name)


def _parsed(raw: bytes, file: Path) -> Json:
    if raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        try:
            return json.loads(raw.decode("utf-8-sig"))
        except json.JSONDecodeError as error:
            place = Place(str(file), error.lineno, error.colno)
            raise Invalid([Problem(f"no JSON: {error.msg}", place=place)]) from None
        except UnicodeDecodeError:
            raise _invalid(file, "it is not in UTF-8", "save it as UTF-8") from None
        except RecursionError:
            raise _invalid(file, "it is nested too deeply", "is it an OpenAPI file?") from None
    try:
        return load(raw.decode("utf-8-sig"), str(file))
    except UnicodeDecodeError:
        raise _invalid(file, "it is not in UTF-8", "save it as UTF-8") from None


def _invalid(file: Path, message: str, hint: str) -> Invalid:
    return Invalid([Problem(message, hint, Place(str(file), 1, 1))])


def _map(node: Json) -> Mapping[str, Json]:
    return node if isinstance(node, dict) else {}


def _list(node: Json) -> list[Json]:
    return node if isinstance(node, list) else []
