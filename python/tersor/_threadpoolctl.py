"""The threadpoolctl controller of tersor's thread pool, made known by ``tersor.register_threadpoolctl``."""

from __future__ import annotations

from abc import ABCMeta

import threadpoolctl  # type: ignore[import-untyped, unused-ignore]

from tersor import _core


class TersorController(threadpoolctl.LibController, metaclass=ABCMeta):  # type: ignore[misc, unused-ignore]
    """threadpoolctl finds the extension module among the loaded libraries by its file name, and checks the symbol."""

    user_api = "tersor"
    internal_api = "tersor"
    filename_prefixes = ("_core",)
    check_symbols = ("tersor_get_num_threads",)

    def get_num_threads(self) -> int:
        return _core.num_threads()

    def set_num_threads(self, num_threads: int) -> None:
        _core.set_num_threads(num_threads)

    def get_version(self) -> str:
        import tersor

        return tersor.__version__


def register() -> None:
    """Register the controller, once."""
    if TersorController not in threadpoolctl._ALL_CONTROLLERS:
        threadpoolctl.register(TersorController)
