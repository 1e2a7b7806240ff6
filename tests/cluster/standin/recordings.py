"""What a real cluster answered, read from the recordings, for tests to compare with. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

RECORDINGS = Path(__file__).parents[1] / "recordings"

# The recorded pods had got ephemeral containers before; what the API names them is left out.
_EPHEMERAL_CLIENT = re.compile(r", d\d+-[a-z]+ \(ephem\)")
_EPHEMERAL_SERVER = re.compile(r" d\d+-[a-z]+(?=[ \]])")
_EPHEMERAL_INDEX = re.compile(r"ephemeralContainers\[\d+\]")
_EXEC_ID = re.compile(r"(start exec \\*\")[0-9a-f]{60,64}")
_DEBUGGER = re.compile(r"debugger-\w{5}")


def normalise(text: str) -> str:
    """Replaces what differs from run to run."""
    text = _EPHEMERAL_CLIENT.sub("", text)
    # With one container left there is no choice, and kubectl does not tell of a default.
    text = re.sub(r'^Defaulted container "(\S+)" out of: \1\n', "", text, flags=re.MULTILINE)
    text = _EPHEMERAL_SERVER.sub("", text)
    text = _EPHEMERAL_INDEX.sub("ephemeralContainers[n]", text)
    text = _EXEC_ID.sub(r"\1ID", text)
    return _DEBUGGER.sub("debugger-xxxxx", text)


@dataclass(frozen=True)
class ClientRow:
    """One kubectl command: what it printed, stderr and stdout together, and its exit code."""

    text: str
    exit_code: int


def client_rows(version: str) -> dict[str, ClientRow]:
    """Returns the commands recorded with one kubectl.

    Args:
        version: as the file has it, e.g. ``v1.37.1``.
    """
    text = (RECORDINGS / "client-errors.txt").read_text()
    section = text.split(f"####### client text, {version}\n")[1].split("\n####### ")[0]
    rows = {}
    for block in section.split("--- ")[1:]:
        command, _, output = block.partition("\n")
        printed, code = _split_exit_code(output)
        rows[re.sub(r"^kubectl-[\d.]+", "kubectl", command)] = ClientRow(printed, code)
    return rows


def user_row(user: str, how: str) -> ClientRow:
    """Returns what ``kubectl exec problempod -- echo hi`` gave as a user.

    Args:
        user: e.g. ``getonly``.
        how: the version of kubectl as the file has it.
    """
    text = (RECORDINGS / "client-errors.txt").read_text()
    printed, code = _split_exit_code(text.split(f"### {user} {how}\n")[1])
    return ClientRow(printed, code)


def _split_exit_code(output: str) -> tuple[str, int]:
    match = re.search(r"^rc=(\d+)$", output, re.MULTILINE)
    assert match is not None
    return normalise(output[: match.start()]), int(match[1])


@dataclass(frozen=True)
class WireRow:
    """One answer to a websocket GET: status and body, or the messages after 101."""

    code: int
    body: bytes
    content_type: str
    messages: tuple[bytes, ...]
    close_code: int | None


def wire_rows() -> dict[str, WireRow]:
    """Returns the recorded websocket answers by title."""
    text = (RECORDINGS / "exec-errors.txt").read_text()
    rows = {}
    for block in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        title, _, answer = block.partition("\n")
        code = re.search(r"^HTTP/1.1 (\d+)", answer)
        assert code is not None
        length = re.search(r"^Content-Length: (\d+)$", answer, re.MULTILINE)
        kind = re.search(r"^Content-Type: (.*)$", answer, re.MULTILINE)
        close = re.search(r"CLOSE (\d+)", answer)
        body = answer.split("BODY ", 1)[1].encode() if "BODY " in answer else b""
        rows[title] = WireRow(
            code=int(code[1]),
            body=body[: int(length[1])] if length else b"",
            content_type=kind[1] if kind else "",
            messages=tuple(_messages(answer)),
            close_code=int(close[1]) if close else None,
        )
    return rows


def _messages(answer: str) -> list[bytes]:
    messages = []
    for channel, literal in re.findall(r"op=2 fin=1 ch=(\d\d) len=\d+ b'(.*)'$", answer, re.M):
        payload = literal.encode().decode("unicode_escape").encode("latin-1")
        messages.append(bytes((int(channel),)) + payload)
    return messages
