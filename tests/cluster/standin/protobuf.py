"""As much of Kubernetes' protobuf as kubectl insists on: access reviews. Pure.

Wire format: the envelope is ``k8s`` and a zero byte, then runtime.Unknown, whose field 2 is the
object. Field numbers are those of k8s.io/api/authorization/v1.
"""

from __future__ import annotations

from typing import Any

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_RESOURCE_ATTRIBUTES = {
    1: "namespace",
    2: "verb",
    3: "group",
    4: "version",
    5: "resource",
    6: "subresource",
    7: "name",
}


def access_review_spec(body: bytes) -> dict[str, Any]:
    """Returns ``spec`` of a SelfSubjectAccessReview.

    Raises:
        ValueError: the body is not one that names a resource.
    """
    if not body.startswith(_MAGIC):
        raise ValueError("not a protobuf object of Kubernetes")
    review = _fields(_field(body[len(_MAGIC) :], 2))
    attributes = _fields(_field(review.get(2, b""), 1))
    named = {_RESOURCE_ATTRIBUTES[key]: value for key, value in attributes.items() if key < 8}
    return {"resourceAttributes": {key: value.decode() for key, value in named.items() if value}}


def _field(message: bytes, number: int) -> bytes:
    try:
        return _fields(message)[number]
    except KeyError:
        raise ValueError(f"field {number} is missing") from None


def _fields(message: bytes) -> dict[int, bytes]:
    """Returns the length-delimited fields of a message; numbers are skipped."""
    found = {}
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        if key & 7 == 0:
            _, position = _varint(message, position)
        elif key & 7 == 2:
            length, position = _varint(message, position)
            found[key >> 3] = message[position : position + length]
            position += length
        else:
            raise ValueError(f"wire type {key & 7} is not expected")
    return found


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(message):
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("the message is cut off")
