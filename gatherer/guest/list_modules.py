"""The list of the files that an interpreter needs to run hunter; it runs in that interpreter.

gatherer.inject.portable_python passes its text to `PYTHON -I -S -c TEXT HUNTER_PYZ MODULE...` and
reads one JSON object from its stdout: the version, the compiled modules of the standard library,
the extension modules, and every ELF file that is mapped once all of hunter is imported. What is
mapped was found by the loader itself, so nobody has to search for libraries.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import sys
from typing import Any

# Optional parts of modules that hunter uses; they would bring libraries along for nothing.
LEFT_OUT = ("bz2", "lzma", "_hashlib", "ssl", "_ssl", "readline")
# What is imported only in some lives of hunter: messages of argparse, tracebacks, codecs, digests.
ALSO = (
    *("gettext", "linecache", "locale", "shutil", "textwrap", "tokenize", "traceback", "zipimport"),
    *("encodings.ascii", "encodings.latin_1", "encodings.utf_8"),
)
DIGESTS = ("_sha2", "_sha256")


def import_all(zipapp: str, names: list[str]) -> None:
    """Imports modules of the zipapp and what may be imported later."""
    for name in LEFT_OUT:
        sys.modules[name] = None  # type: ignore[assignment]
    sys.path.insert(0, zipapp)
    for name in (*names, *ALSO):
        importlib.import_module(name)
    for name in DIGESTS:
        try:
            importlib.import_module(name)
        except ImportError:
            pass
    try:
        # pthread_exit(3) of glibc loads it when it is first called.
        ctypes.CDLL("libgcc_s.so.1")
    except OSError:
        pass


def compiled(path: str, name: str) -> str:
    """Returns a module as a .pyc that is not checked against its source, in hexadecimal."""
    with open(path, "rb") as file:
        source = file.read()
    shown = "python/" + name.replace(".", "/") + ".py"
    code = compile(source, shown, "exec", dont_inherit=True, optimize=2)
    external: Any = importlib._bootstrap_external
    digest = importlib.util.source_hash(source)
    pyc: bytes = external._code_to_hash_pyc(code, digest, False)
    return pyc.hex()


def inventory(zipapp: str, names: list[str]) -> dict[str, object]:
    """Returns everything the bundle is made of."""
    import_all(zipapp, names)
    modules, extensions = {}, {}
    for name, module in sorted(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if module is None or not path or path.startswith(zipapp) or name == "__main__":
            continue
        if path.endswith(".py"):
            spelled = name.replace(".", "/")
            is_package = os.path.basename(path) == "__init__.py"
            modules[spelled + ("/__init__" if is_package else "")] = compiled(path, name)
        elif ".so" in os.path.basename(path):
            extensions[name] = path
    mapped = set()
    with open("/proc/self/maps") as file:
        for line in file:
            fields = line.split(None, 5)
            if len(fields) == 6 and fields[5].startswith("/"):
                mapped.add(fields[5].rstrip("\n"))
    return {
        "version": list(sys.version_info[:3]),
        "machine": os.uname().machine,
        "program": os.path.realpath("/proc/self/exe"),
        "modules": modules,
        "extensions": extensions,
        "mapped": sorted(mapped),
    }


if __name__ == "__main__":
    json.dump(inventory(sys.argv[1], sys.argv[2:]), sys.stdout)
