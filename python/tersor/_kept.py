"""Outputs of operations that tell which entries stay: the pruned array, a bool mask, or its bits.

``fill(packed, out)`` calls the operation; it goes for None, False and True in this order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tersor import _core
from tersor._arguments import packed_shape
from tersor._outputs import framework_of

Fill = Callable[[Any, Any], None]


def _empty_like(framework: Any, w: Any) -> Any:
    return framework.empty_like(w)


def _empty_mask(framework: Any, w: Any) -> Any:
    return framework.empty_like(w, "bool")


def _empty_bits(framework: Any, w: Any) -> Any:
    return framework.empty(w, packed_shape(w.shape, 8), "uint8")


def _filled(w: Any, name: str, make: Callable[[Any, Any], Any], fill: Callable[[Any], None]) -> Any:
    """A new output for w, or for each array of a list, after ``fill`` has written it."""
    if not isinstance(w, (list, tuple)):
        framework = framework_of(w, name)
        out = make(framework, w)
        fill(out)
        return framework.result(out)
    frameworks = [framework_of(array, f"{name}[{i}]") for i, array in enumerate(w)]
    outs = [make(framework, array) for framework, array in zip(frameworks, w, strict=True)]
    fill(outs)
    return [framework.result(out) for framework, out in zip(frameworks, outs, strict=True)]


def pruned(w: Any, out: Any, fill: Fill) -> Any:
    """``out``, or new arrays like w."""
    if out is None:
        return _filled(w, "w", _empty_like, lambda filled: fill(None, filled))
    fill(None, out)
    return out


def masked(w: Any, packed: bool, out: Any, fill: Fill, *, by_rows: bool = True, name: str = "w") -> Any:
    """``out``, or new masks or bits. An operation along another axis than the last, not ``by_rows``, writes no bits: they
    are made of its mask."""
    packed = bool(packed)
    if packed and not by_rows:
        mask = masked(w, False, None, fill, name=name)

        def fill(_: Any, bits: Any) -> None:
            _core.pack_mask(mask, bits)

    if out is None:
        return _filled(w, name, _empty_bits if packed else _empty_mask, lambda filled: fill(packed, filled))
    fill(packed, out)
    return out
