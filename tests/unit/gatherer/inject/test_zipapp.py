from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gatherer.errors import DeployError
from gatherer.inject import zipapp

BUILDER = """
import hashlib
from pathlib import Path

def build_zipapp(root, target):
    target.parent.mkdir(exist_ok=True)
    data = b"".join(p.read_bytes() for p in sorted((root / "hunter").rglob("*.py")))
    target.write_bytes(data)
    with open(root / "built", "a") as log:
        log.write("built\\n")
    return hashlib.sha256(data).hexdigest()
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in {
        "build/make_zipapp.py": BUILDER,
        "hunter/__init__.py": "",
        "hunter/app.py": "one = 1\n",
        "shared/hg_shared/wire.py": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def builds(root: Path) -> int:
    return len((root / "built").read_text().splitlines())


def test_the_zipapp_is_built_when_it_is_stale_and_only_then(checkout: Path) -> None:
    first = zipapp.fresh_zipapp(checkout).read_bytes()
    assert zipapp.fresh_zipapp(checkout).read_bytes() == first == b"one = 1\n"
    assert builds(checkout) == 1
    (checkout / "hunter" / "app.py").touch()
    zipapp.fresh_zipapp(checkout)
    assert builds(checkout) == 1
    (checkout / "hunter" / "app.py").write_text("one = 2\n")
    assert zipapp.fresh_zipapp(checkout).read_bytes() == b"one = 2\n"
    (checkout / "hunter" / "new.py").write_text("new = 1\n")
    zipapp.fresh_zipapp(checkout)
    (checkout / "shared" / "hg_shared" / "wire.py").write_text("x = 1\n")
    zipapp.fresh_zipapp(checkout)
    assert builds(checkout) == 4


def test_a_zipapp_that_was_tampered_with_is_built_again(checkout: Path) -> None:
    target = zipapp.fresh_zipapp(checkout)
    good = target.read_bytes()
    target.write_bytes(b"something else")
    assert zipapp.fresh_zipapp(checkout).read_bytes() == good


def test_a_builder_that_fails_is_one_line(checkout: Path) -> None:
    (checkout / "build" / "make_zipapp.py").write_text(
        "def build_zipapp(root, target):\n    raise SystemExit('python-ptrace is missing')\n"
    )
    with pytest.raises(DeployError, match="python-ptrace is missing; run make venv"):
        zipapp.fresh_zipapp(checkout)


def test_the_image_of_this_tree_carries_its_digest() -> None:
    image = zipapp.hunter_image()
    assert image.sha256 == hashlib.sha256(image.data).hexdigest()
    assert b"PK" in image.data[:64]
