"""tersor: the primitive operations of model compression, at the speed of memory.

Arrays of NumPy, torch, JAX, CuPy and whatever else speaks DLPack go in; the same kind comes out. Every function that makes
an array of a known size takes ``out=``. ``import tersor.torch`` registers the functions as torch operators.
"""

from tersor._bitmask_tensor import BitmaskTensor
from tersor._quantized import Quantized
from tersor.bitmask import and_masks, count_mask, invert_mask, or_masks, pack_mask, unpack_mask, xor_masks
from tersor.compress import compress_bitmask, decompress_bitmask
from tersor.compress_csr import bitmask_from_csr, bitmask_to_csr
from tersor.compress_nm import compress_24, compress_nm, decompress_24, decompress_nm
from tersor.information import (
    distribution_entropy,
    divergence,
    entropy,
    histogram,
    histogram2d,
    mask_information,
    mutual_information,
    prune_information,
)
from tersor.matmul import matmul_bitmask
from tersor.pack import pack_bits, pack_int4, unpack_bits, unpack_int4
from tersor.prune import (
    apply_mask,
    count_nonzero,
    cubic_sparsity,
    mask_mean,
    mask_threshold,
    prune_mean,
    prune_threshold,
    sparsity,
)
from tersor.prune_pattern import mask_blocks, mask_nm, prune_blocks, prune_nm
from tersor.prune_random import mask_random, prune_random
from tersor.prune_ranked import (
    mask_magnitude,
    mask_scores,
    mask_taylor,
    mask_wanda,
    prune_magnitude,
    prune_scores,
    prune_taylor,
    prune_wanda,
)
from tersor.quantize import dequantize_int8, quantize_int8, round_fixed
from tersor.quantize_calibrate import Calibrator
from tersor.quantize_error import QuantizationError, quantization_error
from tersor.quantize_fake import fake_quantize, fake_quantize_backward

# After this line tersor.quantize is the function, and stays it: the module of that name is found in sys.modules from now on.
from tersor.quantize_groups import dequantize, quantize
from tersor.runtime import cpu_level, cpu_levels, get_num_threads, register_threadpoolctl, set_num_threads
from tersor.select import kth_magnitude, kth_value, magnitude_threshold, quantile

# Likewise.
from tersor.softmax import log_softmax, logsumexp, softmax
from tersor.softmax_backward import log_softmax_backward, logsumexp_backward, softmax_backward
from tersor.structured import remove_units, score_units, score_units_by_loss, select_units

__version__ = "0.1.0"

__all__ = [
    "BitmaskTensor",
    "Calibrator",
    "QuantizationError",
    "Quantized",
    "and_masks",
    "apply_mask",
    "bitmask_from_csr",
    "bitmask_to_csr",
    "compress_24",
    "compress_bitmask",
    "compress_nm",
    "count_mask",
    "count_nonzero",
    "cpu_level",
    "cpu_levels",
    "cubic_sparsity",
    "decompress_24",
    "decompress_bitmask",
    "decompress_nm",
    "dequantize",
    "dequantize_int8",
    "distribution_entropy",
    "divergence",
    "entropy",
    "fake_quantize",
    "fake_quantize_backward",
    "get_num_threads",
    "histogram",
    "histogram2d",
    "invert_mask",
    "kth_magnitude",
    "kth_value",
    "log_softmax",
    "log_softmax_backward",
    "logsumexp",
    "logsumexp_backward",
    "magnitude_threshold",
    "mask_blocks",
    "mask_information",
    "mask_magnitude",
    "mask_mean",
    "mask_nm",
    "mask_random",
    "mask_scores",
    "mask_taylor",
    "mask_threshold",
    "mask_wanda",
    "matmul_bitmask",
    "mutual_information",
    "or_masks",
    "pack_bits",
    "pack_int4",
    "pack_mask",
    "prune_blocks",
    "prune_information",
    "prune_magnitude",
    "prune_mean",
    "prune_nm",
    "prune_random",
    "prune_scores",
    "prune_taylor",
    "prune_threshold",
    "prune_wanda",
    "quantile",
    "quantization_error",
    "quantize",
    "quantize_int8",
    "register_threadpoolctl",
    "remove_units",
    "round_fixed",
    "score_units",
    "score_units_by_loss",
    "select_units",
    "set_num_threads",
    "softmax",
    "softmax_backward",
    "sparsity",
    "unpack_bits",
    "unpack_int4",
    "unpack_mask",
    "xor_masks",
]
