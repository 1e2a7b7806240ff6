"""The rights that manifests/rbac.yaml gives: a user of the stand-in has just these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

MANIFESTS = Path(__file__).parents[3] / "manifests"


def rules(path: Path = MANIFESTS / "rbac.yaml") -> list[dict[str, Any]]:
    """Returns the rules of all roles in a manifest."""
    documents = yaml.safe_load_all(path.read_text())
    roles = [each for each in documents if each["kind"] in ("Role", "ClusterRole")]
    return [rule for role in roles for rule in role["rules"]]
