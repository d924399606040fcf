"""The specification: every operation again in plain NumPy, slow and obvious.

Tests compare the kernels with these functions, benchmarks time against them, and the documentation quotes them.
Unless a function says otherwise the kernels give exactly these bits. Arithmetic on float16 and bfloat16 happens in
float32, and results are rounded to the array's dtype once, half to even; a NaN result is the canonical quiet NaN.
"""

from tersor.reference._arithmetic import Array, arithmetic_dtype
from tersor.reference.bitmask import count_mask, invert_mask, pack_mask, unpack_mask
from tersor.reference.compress import (
    bitmask_from_csr,
    bitmask_to_csr,
    compress_24,
    compress_bitmask,
    compress_nm,
    decompress_24,
    decompress_bitmask,
    decompress_nm,
    stored_columns,
)
from tersor.reference.formats_float import decode_float, encode_float, global_scale
from tersor.reference.formats_gguf import decode_gguf, encode_gguf
from tersor.reference.information import (
    bin_edges,
    bins_of,
    distribution_entropy,
    divergence,
    entropy,
    histogram,
    histogram2d,
    mask_units,
    mutual_information,
)
from tersor.reference.matmul import matmul_bitmask
from tersor.reference.pack import pack_bits, pack_int4, unpack_bits, unpack_int4
from tersor.reference.prune import (
    apply_mask,
    count_nonzero,
    mask_blocks,
    mask_magnitude,
    mask_nm,
    mask_ranked,
    mask_threshold,
    mask_transposable,
    mean_threshold,
    philox,
    product_scores,
    prune_magnitude,
    prune_threshold,
    random_scores,
    sparsity,
)
from tersor.reference.quantize import dequantize_int8, quantize_int8, round_fixed
from tersor.reference.quantize_calibrate import binned_counts, entropy_bounds
from tersor.reference.quantize_error import quantization_error
from tersor.reference.quantize_fake import fake_quantize, fake_quantize_backward
from tersor.reference.quantize_groups import dequantize, quantize
from tersor.reference.select import kth_magnitude, kth_value, magnitude_threshold, quantile
from tersor.reference.softmax import (
    log_softmax,
    log_softmax_backward,
    logsumexp,
    logsumexp_backward,
    softmax,
    softmax_backward,
)
from tersor.reference.structured import remove_units, score_units, select_units

__all__ = [
    "Array",
    "apply_mask",
    "arithmetic_dtype",
    "bin_edges",
    "binned_counts",
    "bins_of",
    "bitmask_from_csr",
    "bitmask_to_csr",
    "compress_24",
    "compress_bitmask",
    "compress_nm",
    "count_mask",
    "count_nonzero",
    "decode_float",
    "decode_gguf",
    "decompress_24",
    "decompress_bitmask",
    "decompress_nm",
    "dequantize",
    "dequantize_int8",
    "distribution_entropy",
    "divergence",
    "encode_float",
    "encode_gguf",
    "entropy",
    "entropy_bounds",
    "fake_quantize",
    "fake_quantize_backward",
    "global_scale",
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
    "mask_magnitude",
    "mask_nm",
    "mask_ranked",
    "mask_threshold",
    "mask_transposable",
    "mask_units",
    "matmul_bitmask",
    "mean_threshold",
    "mutual_information",
    "pack_bits",
    "pack_int4",
    "pack_mask",
    "philox",
    "product_scores",
    "prune_magnitude",
    "prune_threshold",
    "quantile",
    "quantization_error",
    "quantize",
    "quantize_int8",
    "random_scores",
    "remove_units",
    "round_fixed",
    "score_units",
    "select_units",
    "softmax",
    "softmax_backward",
    "sparsity",
    "stored_columns",
    "unpack_bits",
    "unpack_int4",
    "unpack_mask",
]
