"""tersor: the primitive operations of model compression, at the speed of memory.

Arrays of NumPy, torch, JAX, CuPy and whatever else speaks DLPack go in; the same kind comes out. Every function takes
``out=``. ``import tersor.torch`` registers the functions as torch operators.
"""

from tersor.bitmask import pack_mask, unpack_mask
from tersor.pack import pack_int4, unpack_int4
from tersor.prune import (
    apply_mask,
    count_nonzero,
    mask_magnitude,
    mask_threshold,
    prune_magnitude,
    prune_threshold,
    sparsity,
)
from tersor.quantize import dequantize_int8, quantize_int8, round_fixed
from tersor.runtime import cpu_level, cpu_levels, get_num_threads, register_threadpoolctl, set_num_threads
from tersor.select import kth_magnitude, kth_value, magnitude_threshold, quantile

# After this line tersor.softmax is the function, and stays it: the module of that name is found in sys.modules from now on.
from tersor.softmax import softmax

__version__ = "0.1.0"

__all__ = [
    "apply_mask",
    "count_nonzero",
    "cpu_level",
    "cpu_levels",
    "dequantize_int8",
    "get_num_threads",
    "kth_magnitude",
    "kth_value",
    "magnitude_threshold",
    "mask_magnitude",
    "mask_threshold",
    "pack_int4",
    "pack_mask",
    "prune_magnitude",
    "prune_threshold",
    "quantile",
    "quantize_int8",
    "register_threadpoolctl",
    "round_fixed",
    "set_num_threads",
    "softmax",
    "sparsity",
    "unpack_int4",
    "unpack_mask",
]
