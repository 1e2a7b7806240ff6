"""Option values: strict parsing of what users type, text in, numbers out.

Every parser raises `ValueError` with the sentence that the usage error shows: what was given, and
a value that would have been right.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from gatherer.config import MemoryThreshold
from gatherer.text import quoted

_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_PERCENT = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)%?", re.ASCII)
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([kKMGT]i?)?", re.ASCII)
_RATE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([kKMGT]i?)?/(s|min|h)", re.ASCII)
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)(s|m|min|h)?", re.ASCII)

_MULTIPLES = {
    "": 1,
    "k": 10**3,
    "K": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "ki": 1 << 10,
    "Ki": 1 << 10,
    "Mi": 1 << 20,
    "Gi": 1 << 30,
    "Ti": 1 << 40,
}
_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}

MAX_STRING_SIZE = 0xFFFE
MIN_FREQUENCY = 0.05
MAX_FREQUENCY = 86400.0
MIN_BUFFER = 256 << 10
MAX_BUFFER = 1 << 30
MAX_RATE = 900_000_000
AGENTS = ("auto", "none", "coroot", "parca", "collector")
MIN_LOG_SIZE = 4 << 10


def parse_memory(text: str) -> MemoryThreshold:
    """Reads `50`, `12.3`, `50%` or `200Mi`.

    Raises:
        ValueError: neither a percentage of 0 to 100 nor a size.
    """
    good = "give a percentage such as 50 or 12.3%, or a size such as 200Mi"
    percent = _PERCENT.fullmatch(text)
    if percent:
        if float(percent[1]) > 100:
            raise ValueError(f"{quoted(text)} is more than 100 percent; {good}")
        return MemoryThreshold(percent=percent[1])
    size = _SIZE.fullmatch(text)
    if size and size[2]:
        return MemoryThreshold(size_bytes=_bytes(size[1], size[2]))
    raise ValueError(f"{quoted(text)} is no memory threshold; {good}")


def parse_size(text: str) -> int:
    """Reads a size in bytes such as `4Mi`, `200M` or `4194304`.

    Raises:
        ValueError: not a size.
    """
    match = _SIZE.fullmatch(text)
    if not match or (not match[2] and "." in text):
        raise ValueError(f"{quoted(text)} is no size; give one such as 4Mi or 4194304")
    return _bytes(match[1], match[2] or "")


def parse_buffer(text: str) -> int:
    """Reads the value of `--buffer`.

    Raises:
        ValueError: not a size, or outside 256Ki to 1Gi.
    """
    size = parse_size(text)
    if not MIN_BUFFER <= size <= MAX_BUFFER:
        raise ValueError(f"{quoted(text)} is out of range; give 256Ki to 1Gi, such as 4Mi")
    return size


def parse_log_size(text: str) -> int:
    """Reads the value of `--max-log-size`.

    Raises:
        ValueError: not a size, or less than 4Ki.
    """
    size = parse_size(text)
    if size < MIN_LOG_SIZE:
        raise ValueError(f"{quoted(text)} is out of range; give 4Ki or more, such as 2Gi")
    return size


def parse_rate(text: str) -> int:
    """Reads a growth rate such as `5Mi/s` or `100Mi/min`; returns bytes per second, at least 1.

    Raises:
        ValueError: not a rate, zero, or above 900 MB/s.
    """
    good = "give one such as 5Mi/s or 100Mi/min"
    match = _RATE.fullmatch(text)
    if not match:
        raise ValueError(f"{quoted(text)} is no rate; {good}")
    unit = {"s": 1, "min": 60, "h": 3600}[match[3]]
    size = _bytes(match[1], match[2] or "")
    if size <= 0:
        raise ValueError(f"{quoted(text)} is no growth; {good}")
    rate = max(1, size // unit)
    if rate > MAX_RATE:
        raise ValueError(f"{quoted(text)} is faster than any process grows; {good}")
    return rate


def parse_duration(text: str) -> float:
    """Reads a duration such as `30`, `30s`, `5m` or `1.5h`; returns seconds.

    Raises:
        ValueError: not a duration, or zero.
    """
    match = _DURATION.fullmatch(text)
    if not match or float(match[1]) == 0:
        raise ValueError(f"{quoted(text)} is no duration; give one such as 30, 30s or 5m")
    return float(match[1]) * _SECONDS[match[2] or ""]


def parse_wait(text: str) -> float:
    """Reads the value of `--wait`: a duration, or 0 for not at all; returns seconds.

    Raises:
        ValueError: not a duration.
    """
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f"{quoted(text)} is no duration; give one such as 0, 30s or 5m")
    return float(match[1]) * _SECONDS[match[2] or ""]


def parse_seconds(text: str) -> float:
    """Reads a plain count of seconds, fractions included.

    Raises:
        ValueError: not a number of seconds.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{quoted(text)} is no number of seconds; give one such as 10 or 0.5")
    return float(text)


def parse_frequency(text: str) -> float:
    """Reads the value of `-f`: seconds between scans.

    Raises:
        ValueError: not a number of seconds, or outside 0.05 to 86400.
    """
    good = "give seconds between scans such as 5 or 0.5"
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{quoted(text)} is no number of seconds; {good}")
    if not MIN_FREQUENCY <= float(text) <= MAX_FREQUENCY:
        raise ValueError(f"{quoted(text)} is out of range, 0.05 to 86400; {good}")
    return float(text)


def parse_share(text: str) -> float:
    """Returns a share of the target's time, from `10%` or `10`.

    Raises:
        ValueError: not a percentage over 0 and up to 100; the text shows a good one.
    """
    number = text.strip().removesuffix("%")
    if not _NUMBER.fullmatch(number) or not 0 < float(number) <= 100:
        raise ValueError(f"{quoted(text)} is not a percentage up to 100; write for example 10%")
    return float(number) / 100


def parse_pid(text: str) -> int:
    """Reads a process id.

    Raises:
        ValueError: not a positive integer a pid can be (at most 2^22, PID_MAX_LIMIT of Linux).
    """
    if not re.fullmatch(r"\d{1,7}", text, re.ASCII) or not 0 < int(text) <= 1 << 22:
        raise ValueError(f"{quoted(text)} is no process id; give a number such as 4711")
    return int(text)


def parse_string_size(text: str) -> int:
    """Reads the value of `-s`.

    Raises:
        ValueError: not a byte count of 0 to 65534.
    """
    if not re.fullmatch(r"\d{1,5}", text, re.ASCII) or int(text) > MAX_STRING_SIZE:
        raise ValueError(f"{quoted(text)} is no string size; give 0 to {MAX_STRING_SIZE} bytes")
    return int(text)


def parse_trace_set(text: str) -> str:
    """Reads the value of `-e`; returns it as it was given.

    Raises:
        ValueError: a name, class or regular expression that strace would not take either.
    """
    # The tables are only needed when the option is given.
    from hg_shared.records import Abi
    from hg_shared.syscalls.filter import syscall_set

    if not text.isprintable():
        raise ValueError(f"{quoted(text)} is no set of syscalls; give one such as openat,%memory")
    syscall_set(text, Abi.X86_64)
    return text


def parse_agent(text: str) -> str:
    """Reads one value of `--agent`.

    Raises:
        ValueError: neither a kind of agent nor an http URL with a host.
    """
    if text in AGENTS:
        return text
    good = f"give one of {', '.join(AGENTS)}, or a URL such as http://10.0.0.5:9100/metrics"
    if "://" not in text:
        raise ValueError(f"{quoted(_without_user(text))} is no agent; {good}")
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not text.isascii() or not text.isprintable() or " " in text or "#" in text:
        raise ValueError(f"{quoted(_without_user(text))} is no http URL; {good}")
    return text


def _without_user(url: str) -> str:
    """Returns what may be shown of a URL, or of what was meant as one: no user, no password."""
    front, at, host = url.rpartition("@")
    scheme, slashes, _ = front.partition("//")
    return f"{scheme + slashes if slashes else ''}…@{host}" if at else url


def parse_interval(text: str) -> float:
    """Reads the value of `--agent-interval`: seconds.

    Raises:
        ValueError: not a number of seconds, or outside 1 to 3600.
    """
    return _up_to_an_hour(text, "15")


def parse_linger(text: str) -> float:
    """Reads the value of `--linger`: seconds.

    Raises:
        ValueError: not a number of seconds, or outside 1 to 3600.
    """
    return _up_to_an_hour(text, "10")


def _up_to_an_hour(text: str, good: str) -> float:
    seconds = parse_seconds(text)
    if not 1 <= seconds <= 3600:
        raise ValueError(f"{quoted(text)} is out of range, 1 to 3600; give seconds such as {good}")
    return seconds


def parse_selector(text: str) -> str:
    """Reads the value of `-l`, whose syntax the API server knows.

    Raises:
        ValueError: it is empty, which would be every pod, or cannot be printed.
    """
    if not text.strip() or not text.isprintable():
        raise ValueError(f"{quoted(text)} is no label selector; give one such as app=web")
    return text.strip()


def parse_execs(text: str) -> int:
    """Reads the value of `--max-execs`.

    Raises:
        ValueError: not a count of 1 to 1000.
    """
    if not re.fullmatch(r"\d{1,4}", text, re.ASCII) or not 1 <= int(text) <= 1000:
        raise ValueError(f"{quoted(text)} is no number of execs; give 1 to 1000, such as 20")
    return int(text)


def _bytes(number: str, suffix: str) -> int:
    whole, _, fraction = number.partition(".")
    multiple = _MULTIPLES[suffix]
    parts = int(fraction) * multiple // 10 ** len(fraction) if fraction else 0
    return int(whole) * multiple + parts
