"""Hatchling hook: puts hunter.pyz, and bundles if any were made, into every wheel's _data."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class HunterZipappHook(BuildHookInterface[Any]):
    """Builds the zipapp before a wheel is packed; editable installs build it on demand."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the zipapp to the wheel.

        Args:
            version: `standard` for a wheel, `editable` for a development install.
            build_data: hatchling's build data; `force_include` is extended.
        """
        if version == "editable":
            return
        root = Path(self.root)
        sys.path.insert(0, str(root / "build"))
        from make_zipapp import build_zipapp

        target = root / "dist" / "hunter.pyz"
        build_zipapp(root, target)
        build_data["force_include"][str(target)] = "gatherer/_data/hunter.pyz"
        for bundle in target.parent.glob("hunter-bundle-*.zip"):
            build_data["force_include"][str(bundle)] = f"gatherer/_data/{bundle.name}"
