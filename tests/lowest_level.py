"""What is specified to a tolerance has no expected bits but those of the lowest CPU level on one thread: they must be the
same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tersor
from layouts import Array
from tersor import _core


def at_lowest_level(call: Callable[..., Any], *arrays: Array) -> Any:
    """``call`` of the arrays in C order, at the lowest level and on one thread."""
    level, count = tersor.cpu_level(), tersor.get_num_threads()
    _core.set_cpu_level(_core.cpu_levels()[0])
    tersor.set_num_threads(1)
    result = call(*(np.array(array, order="C") for array in arrays))
    _core.set_cpu_level(level)
    tersor.set_num_threads(count)
    return result
