"""What must hold for the table to be believed. The demonstration ends with status 1 where it does not."""

from __future__ import annotations


class CheckFailed(Exception):
    """A figure of the table would be wrong, or means something else than its column says."""


def require(condition: bool, message: str) -> None:
    """Unlike ``assert`` it also works under ``python -O``."""
    if not condition:
        raise CheckFailed(message)
