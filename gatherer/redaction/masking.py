"""Values that look secret, masked before anything is written down. Pure.

A command line shows passwords and tokens: behind an option or a variable whose name says so, inside
a URL, in a header, behind the short option of a program that is known, or by their own look. What
is masked is the value, never the name, so that a reader sees what was there. Rather too much is
masked than too little; names of files that hold a secret are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MASK = "***"
MAX_ARGUMENT = 16 << 10
"""Characters of an argument that are looked at; the rest is left out."""
_STRONG = (
    "password", "passwd", "passphrase", "passcode", "secret", "token", "apikey", "credential",
    "privatekey", "accesskey", "authkey", "accountkey", "masterkey", "signingkey", "encryptionkey",
    "authorization", "jwt", "bearer", "hmackey", "sharedkey", "presharedkey",
)  # fmt: skip
"""A name that holds one of these, without its separators, is that of a secret."""
_WEAK = frozenset(
    ("pass", "passin", "passout", "pwd", "pw", "auth", "cookie", "sas", "sig", "otp", "psk")
)
"""A name of which one of these is a whole word is that of a secret."""
_HARMLESS = frozenset(
    (
        "file", "files", "path", "dir", "directory", "folder", "ttl", "timeout", "type", "length",
        "len", "size", "count", "limit", "policy", "mode", "url", "uri", "endpoint", "expiry",
        "expiration", "age", "interval", "refresh", "max", "min", "num", "enabled", "disabled",
        "required", "method", "provider", "plugin", "mechanism", "scheme", "issuer", "audience",
    )
)  # fmt: skip
"""A name that begins or ends with one of these says something about a secret, not the secret."""
_WORDS_OF = frozenset(("compass", "bypass", "trespass", "overpass", "noauth", "unauth"))
"""Words that end as those of a secret do."""
_HEADERS = frozenset(("authorization", "proxy-authorization", "cookie", "set-cookie"))
"""Names whose value goes on to the end of the line."""
_SHORT = {
    "mysql": "p", "mysqldump": "p", "mysqladmin": "p", "mysqlimport": "p", "mysqlcheck": "p",
    "mysqlshow": "p", "mysqlbinlog": "p", "mariadb": "p", "mariadb-dump": "p",
    "mariadb-admin": "p", "mongo": "p", "mongosh": "p", "mongodump": "p", "mongorestore": "p",
    "mongoexport": "p", "mongoimport": "p", "sshpass": "p", "redis-cli": "a",
    "redis-benchmark": "a", "valkey-cli": "a", "curl": "uU", "ldapsearch": "w",
    "ldapmodify": "w", "ldapadd": "w", "ldapdelete": "w", "ldapwhoami": "w",
    "sqlcmd": "P", "bcp": "P", "isql": "P", "tsql": "P",
    "login": "p", "7z": "p", "7za": "p", "zip": "P", "unzip": "P",
    "smbclient": "U", "rpcclient": "U", "ipmitool": "P", "snmpget": "AX", "snmpwalk": "AX",
    "lftp": "u", "mosquitto_pub": "P", "mosquitto_sub": "P", "cqlsh": "p", "vsql": "w",
    "beeline": "p",
}  # fmt: skip
"""Short options whose value is a secret, by program; `login` is a word of docker and others."""
_ATTACHED_ONLY = ("mysql", "mariadb", "7z")
"""Programs whose short option has its value attached, or asks for it."""
_USERS = frozenset(("user", "proxy-user", "userpwd", "proxy-userpwd", "u", "U"))
"""Options of curl and its kin whose value is user:password."""
_CURL_FLAGS = re.compile(r"-[#0-9fgiIjJklLnNOpqRsSvaG]*")
"""Short options of curl that take no value, which may stand before one that does: -sku."""
_NAME = re.compile(r"(?<![\w.$-])(-{0,2}|/)([A-Za-z_$][\w.$-]{1,100})(?![\w.$-])")
_ASSIGNED = re.compile(
    r"""["'\\]{0,2}(?:\[\w*\])?"""
    r"(?:[ \t]{1,3}=[ \t]{1,3}|[ \t]{0,3}(?:=>|:=)[ \t]{0,3}|=|:[ \t]{0,3})"
)
_VALUE = re.compile(
    r"""\\?"(?:[^"\\]|\\.)*"?|'[^']*'?|(?:Bearer|Basic|Digest|Token)[ \t]+[^\s"';]+|[^\s;&"']+"""
)
_HEADER = re.compile(r"""["']?[^"'\r\n]+["']?""")
_SCHEME = re.compile(r"\b(Bearer|Basic|Digest)([ \t]+)([A-Za-z0-9+/_.~=-]{6,})")
_URL = re.compile(r"(?<=://)([^\s/@:\"'?#]{0,200}):([^\s/\"']{0,400})@")
_TOKEN_USER = re.compile(r"(?<=://)(?=[^\s/@:\"']{0,200}\d)[^\s/@:\"']{16,200}@")
_SLASHED_URL = re.compile(r"(?<=://)([^\s/@:\"'?#]{0,200}):(?!\d{1,5}/)([^\s@\"']{0,400})@")
"""With a password that holds a slash, which should have been written as %2F."""
_CUT_URL = re.compile(r"(?<=://)([^\s/@:\"'?#]{0,200}):[^\s/@]*$")
_PAIR = re.compile(r"^([\w.+-]{1,100}):(?!//)(\S{1,400})@(?=[\w.(\[/-])")
_LOOKS = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]{8,}\.?[\w-]*|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|xox[abeoprs]-[\w-]{10,}|sk-[\w-]{20,}|sk_(?:live|test)_\w{10,}|AKIA[0-9A-Z]{12,}"
    r"|AIza[\w-]{30,}|hv[sb]\.[\w-]{20,}|dckr_pat_[\w-]{10,}|npm_\w{20,}"
    r"|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,30}PRIVATE KEY-----)?"
)
_WORDS = re.compile(r"""(?:[^\s"']|"(?:[^"\\]|\\.)*"|'[^']*'|["'])+""")
_PARTS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])")


def masked(arguments: Sequence[str], cut: bool = False) -> list[str]:
    """Returns a command line as it may be written down.

    Args:
        arguments: the program and its arguments.
        cut: whether the last one may have lost its end.
    """
    result: list[str] = []
    program, names_secret = "", False
    for index, argument in enumerate(arguments):
        text = argument[:MAX_ARGUMENT]
        ended = len(argument) <= MAX_ARGUMENT and not (cut and index == len(arguments) - 1)
        if names_secret and text and not _is_option(text):
            result.append(MASK)
            names_secret = False
            # What it runs has options of its own.
            program = "" if program == "sshpass" else program
            continue
        program = _program(text) or program
        shown, names_secret = _argument(text, program)
        result.append(shown if ended else _CUT_URL.sub(rf"\1:{MASK}", shown))
    return result


def masked_text(text: str) -> str:
    """Returns any text, such as a line of a shell or a message, as it may be written down.

    Args:
        text: at most `MAX_ARGUMENT` characters of it are kept.
    """
    return _text(text[:MAX_ARGUMENT])


def is_secret(name: str) -> bool:
    """Whether an option or a variable of this name has a value that looks secret.

    Args:
        name: with or without the dashes in front.
    """
    parts = [part.lower() for part in _PARTS.findall(name)]
    if not parts or parts[-1] in _HARMLESS or parts[0] in _HARMLESS:
        return False
    joined = "".join(parts)
    if joined.endswith("tokenizer") or "tokenize" in joined:
        return False
    if any(word in joined for word in _STRONG) or not _WEAK.isdisjoint(parts):
        return True
    return any(part.endswith(("pass", "pwd", "auth")) and part not in _WORDS_OF for part in parts)


def _argument(text: str, program: str) -> tuple[str, bool]:
    """Returns an argument as it is shown, and whether the next one is its secret value."""
    name, separator, value = _assignment(text)
    if separator and is_secret(name):
        return f"{name}{separator}{MASK if value else ''}", False
    if text.startswith("-") and not separator:
        short = _short(text, program)
        if short is not None:
            return short
        if " " not in text and text.endswith(name) and is_secret(name):
            return text, True
    if any(space in text for space in " \t\n"):
        return _shell(text), False
    return _text(text), False


def _assignment(text: str) -> tuple[str, str, str]:
    """Splits NAME=VALUE, --name=value, -Dname=value and /Name:value."""
    match = _NAME.match(text)
    if match is None:
        return text.lstrip("-"), "", ""
    after = text[match.end() :]
    if after.startswith("=") or (after.startswith(":") and match[1] == "/"):
        return text[: match.end()], after[0], after[1:]
    return match[2], "", ""


def _short(text: str, program: str) -> tuple[str, bool] | None:
    """Returns what is shown of the short option of a program that is known."""
    if program not in _SHORT:
        return None
    long = text.startswith("--")
    if program == "curl" and long and text.lstrip("-") in _USERS:
        return text, True
    if long or len(text) < 2:
        return None
    flags = _CURL_FLAGS.match(text) if program == "curl" else None
    begin = flags.end() if flags is not None else 1
    if text[begin : begin + 1] not in tuple(_SHORT[program]):
        return None
    if len(text) > begin + 1:
        return text[: begin + 1] + MASK, False
    return text, not program.startswith(_ATTACHED_ONLY)


def _program(text: str) -> str:
    """Returns the name of a program whose short options are known, else an empty string."""
    name = text.rpartition("/")[2]
    return name if name in _SHORT else ""


def _is_option(text: str) -> bool:
    return text.startswith("--") or (len(text) == 2 and text[0] == "-")


def _shell(text: str) -> str:
    """Returns several words in one argument: what a shell runs, or a title."""
    words = [(match.start(), match.end()) for match in _WORDS.finditer(text)]
    shown, at, hidden, program = [], 0, False, ""
    for begin, end in words:
        word = text[begin:end]
        shown.append(text[at:begin])
        at = end
        if hidden and not _is_option(word):
            shown.append(MASK)
            hidden = False
            program = "" if program == "sshpass" else program
            continue
        program = _program(word) or program
        name, separator, _ = _assignment(word)
        hidden = False
        if word.startswith("-") and not separator:
            alone = word.endswith(name) and is_secret(name)
            word, hidden = _short(word, program) or (word, alone)
        shown.append(word)
    return _text("".join(shown) + text[at:])


def _text(text: str) -> str:
    """Returns text in which assignments, headers, URLs and tokens are masked."""
    pieces, at = [], 0
    for match in _NAME.finditer(text):
        if match.start() < at or not is_secret(match[2]):
            continue
        assigned = _ASSIGNED.match(text, match.end())
        pattern = _HEADER if match[2].lower() in _HEADERS else _VALUE
        value = pattern.match(text, assigned.end()) if assigned is not None else None
        if assigned is None or value is None or value[0].startswith("//"):
            continue
        quote = re.match(r"\\?[\"']", value[0])
        mark = quote[0] if quote is not None else ""
        pieces += [text[at : assigned.end()], mark, MASK, mark]
        at = value.end()
    text = "".join([*pieces, text[at:]])
    text = _SCHEME.sub(rf"\1\2{MASK}", text)
    text = _URL.sub(rf"\1:{MASK}@", text)
    text = _SLASHED_URL.sub(rf"\1:{MASK}@", text)
    text = _TOKEN_USER.sub(f"{MASK}@", text)
    text = _PAIR.sub(rf"\1:{MASK}@", text)
    return _LOOKS.sub(MASK, text)
