"""The operations of tersor under one roof: those of the package, and ``encode`` and ``decode`` of ``tersor.formats``."""

from __future__ import annotations

from typing import Any

import tersor
from tersor import formats


def __getattr__(name: str) -> Any:
    return getattr(formats if name in ("encode", "decode") else tersor, name)
