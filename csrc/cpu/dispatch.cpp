// Which level's table a call goes to. Compiled without instruction-set flags.

#include "core/cpu_level.h"
#include "cpu/bitmask.h"
#include "cpu/compress.h"
#include "cpu/formats_float.h"
#include "cpu/formats_gguf.h"
#include "cpu/formats_gguf_k.h"
#include "cpu/information.h"
#include "cpu/matmul.h"
#include "cpu/pack.h"
#include "cpu/prune.h"
#include "cpu/prune_nm.h"
#include "cpu/prune_score.h"
#include "cpu/quantize.h"
#include "cpu/quantize_error.h"
#include "cpu/quantize_fake.h"
#include "cpu/quantize_groups.h"
#include "cpu/quantize_search.h"
#include "cpu/random.h"
#include "cpu/select.h"
#include "cpu/softmax.h"
#include "cpu/softmax_backward.h"
#include "cpu/softmax_log.h"
#include "cpu/structured.h"
#include "cpu/transpose.h"

namespace tersor::cpu {

namespace {

// One table a level, in the order of CpuLevel.
template <class Table>
const Table& active(const Table* const (&tables)[kCpuLevelCount]) {
  return *tables[static_cast<int>(cpu_level())];
}

}  // namespace

#if defined(__aarch64__)
#define TERSOR_LEVEL_TABLES(table) {&neon::table}
#else
#define TERSOR_LEVEL_TABLES(table) {&baseline::table, &avx2::table, &avx512::table}
#endif

const PruneKernels& prune_kernels() { return active<PruneKernels>(TERSOR_LEVEL_TABLES(prune_kernels)); }
const RandomKernels& random_kernels() { return active<RandomKernels>(TERSOR_LEVEL_TABLES(random_kernels)); }
const PruneScoreKernels& prune_score_kernels() { return active<PruneScoreKernels>(TERSOR_LEVEL_TABLES(prune_score_kernels)); }
const PruneNmKernels& prune_nm_kernels() { return active<PruneNmKernels>(TERSOR_LEVEL_TABLES(prune_nm_kernels)); }
const BitmaskKernels& bitmask_kernels() { return active<BitmaskKernels>(TERSOR_LEVEL_TABLES(bitmask_kernels)); }
const CompressKernels& compress_kernels() { return active<CompressKernels>(TERSOR_LEVEL_TABLES(compress_kernels)); }
const FormatsGgufKernels& formats_gguf_kernels() { return active<FormatsGgufKernels>(TERSOR_LEVEL_TABLES(formats_gguf_kernels)); }
const FormatsGgufKKernels& formats_gguf_k_kernels() {
  return active<FormatsGgufKKernels>(TERSOR_LEVEL_TABLES(formats_gguf_k_kernels));
}
const QuantizeKernels& quantize_kernels() { return active<QuantizeKernels>(TERSOR_LEVEL_TABLES(quantize_kernels)); }
const QuantizeGroupsKernels& quantize_groups_kernels() {
  return active<QuantizeGroupsKernels>(TERSOR_LEVEL_TABLES(quantize_groups_kernels));
}
const QuantizeErrorKernels& quantize_error_kernels() {
  return active<QuantizeErrorKernels>(TERSOR_LEVEL_TABLES(quantize_error_kernels));
}
const QuantizeFakeKernels& quantize_fake_kernels() {
  return active<QuantizeFakeKernels>(TERSOR_LEVEL_TABLES(quantize_fake_kernels));
}
const QuantizeSearchKernels& quantize_search_kernels() {
  return active<QuantizeSearchKernels>(TERSOR_LEVEL_TABLES(quantize_search_kernels));
}
const PackKernels& pack_kernels() { return active<PackKernels>(TERSOR_LEVEL_TABLES(pack_kernels)); }
const FormatsFloatKernels& formats_float_kernels() {
  return active<FormatsFloatKernels>(TERSOR_LEVEL_TABLES(formats_float_kernels));
}
const SelectKernels& select_kernels() { return active<SelectKernels>(TERSOR_LEVEL_TABLES(select_kernels)); }
const SoftmaxKernels& softmax_kernels() { return active<SoftmaxKernels>(TERSOR_LEVEL_TABLES(softmax_kernels)); }
const SoftmaxLogKernels& softmax_log_kernels() { return active<SoftmaxLogKernels>(TERSOR_LEVEL_TABLES(softmax_log_kernels)); }
const SoftmaxBackwardKernels& softmax_backward_kernels() {
  return active<SoftmaxBackwardKernels>(TERSOR_LEVEL_TABLES(softmax_backward_kernels));
}
const StructuredKernels& structured_kernels() { return active<StructuredKernels>(TERSOR_LEVEL_TABLES(structured_kernels)); }
const TransposeKernels& transpose_kernels() { return active<TransposeKernels>(TERSOR_LEVEL_TABLES(transpose_kernels)); }
const InformationKernels& information_kernels() { return active<InformationKernels>(TERSOR_LEVEL_TABLES(information_kernels)); }
const MatmulKernels& matmul_kernels() { return active<MatmulKernels>(TERSOR_LEVEL_TABLES(matmul_kernels)); }

}  // namespace tersor::cpu
