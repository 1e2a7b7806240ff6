"""hunter.pyz, from the wheel, or in a checkout from the sources, built when they changed."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import cast

from gatherer.errors import DeployError
from gatherer.target.values import HunterImage

NAME = "hunter.pyz"
STAMP = "hunter.pyz.sources"
_SOURCES = ("hunter", "shared/hg_shared")
_BUILDER = "build/make_zipapp.py"


def hunter_image() -> HunterImage:
    """Returns the zipapp that belongs to this gatherer.

    Raises:
        DeployError: this is neither a wheel nor a checkout, or the zipapp cannot be built.
    """
    packaged = resources.files("gatherer") / "_data" / NAME
    if packaged.is_file():
        return _image(packaged.read_bytes())
    root = Path(__file__).resolve().parents[2]
    if not (root / _BUILDER).is_file():
        raise DeployError(f"{NAME} is missing from this installation", "install gatherer again")
    return _image(fresh_zipapp(root).read_bytes())


def fresh_zipapp(root: Path) -> Path:
    """Returns the zipapp of a checkout, built again when a source changed.

    Args:
        root: the project's folder.

    Raises:
        DeployError: it cannot be built.
    """
    target = root / "dist" / NAME
    stamp = root / "dist" / STAMP
    sources = source_digest(root)
    if target.is_file() and _stamped(stamp) == [sources, _file_digest(target)]:
        return target
    try:
        built = _builder(root)(root, target)
        partial = stamp.with_suffix(".partial")
        partial.write_text(json.dumps([sources, built]))
        partial.replace(stamp)
    except (Exception, SystemExit) as error:
        raise DeployError(
            f"{NAME} cannot be built: {type(error).__name__}: {error}", "run make venv"
        ) from error
    return target


def source_digest(root: Path) -> str:
    """Returns a digest over names and contents of everything the zipapp is made of.

    Args:
        root: the project's folder.
    """
    paths = [root / _BUILDER, root / "LICENSE"]
    for folder in _SOURCES:
        paths += sorted((root / folder).rglob("*.py"))
    digest = hashlib.sha256()
    for path in paths:
        name = path.relative_to(root).as_posix()
        data = path.read_bytes() if path.is_file() else b""
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def _builder(root: Path) -> Callable[[Path, Path], str]:
    spec = importlib.util.spec_from_file_location("make_zipapp", root / _BUILDER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Callable[[Path, Path], str]", module.build_zipapp)


def _stamped(stamp: Path) -> object:
    try:
        return json.loads(stamp.read_text())
    except (OSError, ValueError):
        return None


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _image(data: bytes) -> HunterImage:
    return HunterImage(data, hashlib.sha256(data).hexdigest())
