"""One kubeconfig file: its bytes, the YAML or JSON in them, and the types of all its fields. Pure.

kubectl checks the whole file before it looks for a context: a field of the wrong type in an entry
that nobody asked for is an error, and so are two entries of one name. Its YAML is that of
go-yaml 2: of several documents the first counts, UTF-16 is read where a byte order mark says so,
and of what has no quotes `y` is a truth value, `12:30` and `2026-01-01` are strings.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gatherer.errors import ClusterUnreachable

_STRING, _TRUTH, _BYTES, _ANY = "a string", "true or false", "base64", "anything"
_Shape = str | list[Any] | dict[str | None, Any]
"""A type of a field: a name, a list of one shape, or a mapping; None stands for any key."""

_NAMED_EXTENSIONS: _Shape = [{"name": _STRING, "extension": _ANY}]
_CLUSTER: _Shape = {
    "server": _STRING,
    "tls-server-name": _STRING,
    "insecure-skip-tls-verify": _TRUTH,
    "certificate-authority": _STRING,
    "certificate-authority-data": _BYTES,
    "proxy-url": _STRING,
    "disable-compression": _TRUTH,
    "extensions": _NAMED_EXTENSIONS,
}
_EXEC: _Shape = {
    "command": _STRING,
    "args": [_STRING],
    "env": [{"name": _STRING, "value": _STRING}],
    "apiVersion": _STRING,
    "installHint": _STRING,
    "provideClusterInfo": _TRUTH,
    "interactiveMode": _STRING,
}
_USER: _Shape = {
    "client-certificate": _STRING,
    "client-certificate-data": _BYTES,
    "client-key": _STRING,
    "client-key-data": _BYTES,
    "token": _STRING,
    "tokenFile": _STRING,
    "as": _STRING,
    "as-uid": _STRING,
    "as-groups": [_STRING],
    "as-user-extra": {None: [_STRING]},
    "username": _STRING,
    "password": _STRING,
    "auth-provider": {"name": _STRING, "config": {None: _STRING}},
    "exec": _EXEC,
    "extensions": _NAMED_EXTENSIONS,
}
_CONTEXT: _Shape = {
    "cluster": _STRING,
    "user": _STRING,
    "namespace": _STRING,
    "extensions": _NAMED_EXTENSIONS,
}
_FILE: _Shape = {
    "kind": _STRING,
    "apiVersion": _STRING,
    "current-context": _STRING,
    "clusters": [{"name": _STRING, "cluster": _CLUSTER}],
    "users": [{"name": _STRING, "user": _USER}],
    "contexts": [{"name": _STRING, "context": _CONTEXT}],
    "preferences": {"colors": _TRUTH, "extensions": _NAMED_EXTENSIONS},
    "extensions": _NAMED_EXTENSIONS,
}

_MAX_DEPTH, _MAX_VALUES = 100, 100_000  # of an extension
_EMPTY: dict[str, Any] = {_STRING: "", _TRUTH: False, _BYTES: b"", _ANY: None}
_TRUE = ("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON")
_FALSE = ("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF")
_NUMBER = re.compile(
    r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+"
    r"|(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))$"
    r"|\.(?:nan|NaN|NAN)$"
)


@dataclass(frozen=True)
class Entry:
    """A named cluster, user or context.

    Attributes:
        name: may be empty, as in kubectl.
        body: all fields that kubectl knows, those that are absent empty.
        path: of the file it is from, which its relative paths start at.
    """

    name: str
    body: Mapping[str, Any]
    path: str


@dataclass(frozen=True)
class KubeconfigFile:
    """The entries of one file.

    Attributes:
        current_context: empty when it names none.
        contexts: by name.
        clusters: by name.
        users: by name.
    """

    current_context: str
    contexts: Mapping[str, Entry]
    clusters: Mapping[str, Entry]
    users: Mapping[str, Entry]


def parse_kubeconfig(path: str, data: bytes) -> KubeconfigFile:
    """Reads a file.

    Args:
        path: of the file, for messages and for `Entry.path`.
        data: its bytes.

    Raises:
        ClusterUnreachable: it is no kubeconfig; no message repeats a value of it.
    """
    try:
        document = parse_yaml(data)
    except ValueError as error:
        raise ClusterUnreachable(
            f"kubeconfig {path}{error}", "correct the file, or give another --kubeconfig"
        ) from error
    if document is None:
        document = {}
    if not isinstance(document, Mapping):
        raise broken(path, "it is not a mapping")
    body = _checked(document, _FILE, path, "it")
    if body["kind"] not in ("", "Config"):
        raise broken(path, f"its kind is {body['kind']!r}, not Config")
    if body["apiVersion"] not in ("", "v1"):
        raise broken(path, f"its apiVersion is {body['apiVersion']!r}, not v1")
    return KubeconfigFile(
        body["current-context"],
        _entries(body, "contexts", path),
        _entries(body, "clusters", path),
        _entries(body, "users", path),
    )


def broken(path: str, problem: str) -> ClusterUnreachable:
    """Returns the error for a kubeconfig that cannot be used.

    Args:
        path: of the file.
        problem: with it, without a full stop and without any secret.
    """
    return ClusterUnreachable(
        f"kubeconfig {path}: {problem}", "correct the file, or give another --kubeconfig"
    )


def parse_yaml(data: bytes) -> object:
    """Returns the first document of YAML, or JSON, as kubectl understands it; None for no document.

    Raises:
        ValueError: it is neither; the text, `, line 3: …`, continues a sentence about the file.
    """
    import yaml  # type: ignore[import-untyped]  # no stubs; 20 ms that --help does not need

    try:
        loader = _loader()(data)
        try:
            return loader.get_data() if loader.check_data() else None
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError, TypeError, AttributeError) as error:
        # AttributeError: PyYAML's answer to `!!timestamp x`.
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        # Only the parser's own text: what is in the file may be a password.
        problem = getattr(error, "problem", None) or "it is not YAML"
        if isinstance(error, yaml.reader.ReaderError):
            problem = "it is no text in UTF-8, or in UTF-16 with a byte order mark"
        problem = re.sub(r" (?:'.*'|\".*\")", "", problem)
        raise ValueError(f"{where}: {problem}") from error


@functools.cache
def _loader() -> Any:
    """Returns a loader of plain values with go-yaml's idea of what a scalar without quotes is."""
    import yaml

    # libyaml, which go-yaml was made from, where it is there: tabs within brackets, encodings.
    base = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc, valid-type]
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # not the base's

    def number(loader: Any, node: Any) -> int | float | str:
        text = loader.construct_scalar(node).replace("_", "")
        for read in (lambda: int(text, 0), lambda: int(text, 8), lambda: float(text)):
            try:
                return read()
            except ValueError:
                continue
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))

    def truth(loader: Any, node: Any) -> bool:
        return str(loader.construct_scalar(node)) in _TRUE

    tag = "tag:yaml.org,2002:"
    truth_values = re.compile("(?:" + "|".join((*_TRUE, *_FALSE)) + ")$")
    Loader.add_implicit_resolver(f"{tag}bool", truth_values, list("yYnNtTfFoO"))
    Loader.add_implicit_resolver(
        f"{tag}null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]
    )
    Loader.add_implicit_resolver(f"{tag}float", _NUMBER, list("-+0123456789."))
    Loader.add_implicit_resolver(f"{tag}merge", re.compile(r"<<$"), ["<"])
    Loader.add_constructor(f"{tag}float", number)
    Loader.add_constructor(f"{tag}int", number)
    Loader.add_constructor(f"{tag}bool", truth)
    return Loader


def _entries(body: Mapping[str, Any], key: str, path: str) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for item in body[key]:
        name = item["name"]
        if name in entries:
            raise broken(path, f"{key} has two entries of the name {name!r}")
        entries[name] = Entry(name, item[key[:-1]], path)
    return entries


def _checked(value: object, shape: Any, path: str, where: str) -> Any:
    """Returns a value in its shape, with what is absent filled in.

    Raises:
        ClusterUnreachable: it is of another type.
    """
    if isinstance(shape, str):
        return _scalar(value, shape, path, where)
    if isinstance(shape, list):
        if not isinstance(value, list | None):
            raise broken(path, f"{where} is not a list")
        return [_checked(item, shape[0], path, _item(where, item)) for item in value or ()]
    if not isinstance(value, Mapping | None):
        raise broken(path, f"{where} is not a mapping")
    if None in shape:
        return {
            str(key): _checked(item, shape[None], path, where)
            for key, item in (value or {}).items()
        }
    # What is absent stays apart from what is empty where kubectl does: an exec, an auth-provider.
    fields = {}
    for key, inner in shape.items():
        item = (value or {}).get(key)
        # An entry of users and its field `user` are one thing to whoever reads the message.
        own = where.startswith(f"{key} ")
        inside = key if where == "it" else where if own else f"{key} of {where}"
        optional = item is None and key in ("exec", "auth-provider")
        fields[key] = None if optional else _checked(item, inner, path, inside)
    return fields


def _scalar(value: object, shape: str, path: str, where: str) -> Any:
    if shape == _ANY:
        return _json_value(value, path, where)
    if value is None:
        return _EMPTY[shape]
    if shape == _TRUTH:
        if not isinstance(value, bool):
            raise broken(path, f"{where} is not true or false")
        return value
    if isinstance(value, bytes) and shape == _STRING:  # !!binary
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise broken(path, f"{where} is not a string")
    if shape == _STRING:
        return value
    try:
        return base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise broken(path, f"{where} is not base64") from error


def _json_value(value: object, path: str, where: str) -> Any:
    """Returns what YAML says as JSON can say it, which is what kubectl makes of all of it.

    Raises:
        ClusterUnreachable: JSON cannot say it.
    """
    seen = 0

    def plain(value: object, depth: int) -> Any:
        nonlocal seen
        seen += 1
        if depth > _MAX_DEPTH or seen > _MAX_VALUES:
            raise broken(path, f"{where} contains itself, or too much")
        if isinstance(value, datetime.datetime | datetime.date):
            midnight = datetime.time()
            day = value if isinstance(value, datetime.datetime) else None
            day = day or datetime.datetime.combine(value, midnight)
            return day.isoformat() + ("" if day.tzinfo else "Z")
        if isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if isinstance(value, float) and not math.isfinite(value):
            raise broken(path, f"{where} holds a number that JSON does not have")
        if isinstance(value, Mapping):
            return {str(key): plain(item, depth + 1) for key, item in value.items()}
        if isinstance(value, set):
            return {str(key): None for key in value}
        if isinstance(value, list | tuple):
            return [plain(item, depth + 1) for item in value]
        return value

    return plain(value, 0)


def _item(where: str, item: object) -> str:
    """Returns how a message calls an item of a list: `user 'admin'`."""
    name = item.get("name") if isinstance(item, Mapping) else None
    singular = (
        where.removesuffix("s")
        if where in ("clusters", "users", "contexts")
        else f"an item of {where}"
    )
    return f"{singular} {name!r}" if isinstance(name, str) else singular
