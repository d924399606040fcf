// Hashes of what every op returns, at every CPU level that the machine has, against golden.txt: the same program, built for another
// architecture and run there or emulated, shows that the bits do not depend on it. `golden_test --renew` writes the file again.

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/cpu_level.h"
#include "core/integers.h"
#include "golden_matrix.h"
#include "ops/bitmask.h"
#include "ops/compress.h"
#include "ops/compress_nm.h"
#include "ops/distribution.h"
#include "ops/formats_float.h"
#include "ops/formats_gguf.h"
#include "ops/formats_words.h"
#include "ops/information.h"
#include "ops/matmul.h"
#include "ops/pack.h"
#include "ops/prune.h"
#include "ops/prune_blocks.h"
#include "ops/prune_nm.h"
#include "ops/prune_ranked.h"
#include "ops/quantize.h"
#include "ops/quantize_groups.h"
#include "ops/remove_units.h"
#include "ops/select.h"
#include "ops/softmax.h"
#include "ops/softmax_backward.h"
#include "ops/softmax_log.h"
#include "ops/softmax_rows.h"
#include "ops/structured.h"
#include "ops/unit_information.h"

namespace {

using namespace tersor;

constexpr DType kFloats[] = {DType::kFloat32, DType::kFloat16, DType::kBFloat16, DType::kFloat64};

using Hashes = std::map<std::string, std::uint64_t>;

// What the ops make of one shape, each under its name.
class Run {
 public:
  Run(std::int64_t rows, std::int64_t cols, Hashes& hashes) : rows_(rows), cols_(cols), hashes_(hashes) {}

  void all() {
    for (const DType dtype : kFloats) {
      prune(dtype);
      select(dtype);
      prune_by_criteria(dtype);
      quantize(dtype);
      quantize_by_rules(dtype);
      quantize_by_search(dtype);
      formats(dtype);
      softmax_at_temperatures(dtype);
      structured(dtype);
      information(dtype);
      matmul(dtype);
      compress(dtype);
    }
    pack();
    nats();
  }

 private:
  void keep(const std::string& op, DType dtype, std::uint64_t hash) {
    hashes_[op + " " + name_of(dtype) + " " + std::to_string(rows_) + "x" + std::to_string(cols_)] = hash;
  }
  Matrix floats(DType dtype) {
    CounterSource source;
    return Matrix::floats(dtype, rows_, cols_, source);
  }

  void prune(DType dtype) {
    Matrix w = floats(dtype), out(dtype, rows_, cols_);
    prune_threshold(w.view(), 0.25, out.view());
    keep("prune_threshold", dtype, out.hash());
    for (const bool packed : {false, true}) {
      Matrix mask(packed ? DType::kUInt8 : DType::kBool, rows_, packed ? (cols_ + 7) / 8 : cols_);
      mask_threshold(w.view(), 0.25, mask.view());
      keep(packed ? "mask_threshold packed" : "mask_threshold", dtype, mask.hash());
      apply_mask(w.view(), mask.view(), out.view());
      keep(packed ? "apply_mask packed" : "apply_mask", dtype, out.hash());
    }
    keep("count_nonzero", dtype, static_cast<std::uint64_t>(count_nonzero(w.view())));
  }

  void select(DType dtype) {
    Matrix w = floats(dtype), out(dtype, rows_, cols_), bits(DType::kUInt8, rows_, (cols_ + 7) / 8);
    const View view = w.view(), out_view = out.view(), bits_view = bits.view();
    const std::int64_t count = rows_ * cols_ / 3;
    const double found[] = {kth({&view, 1}, KeyOrder::kMagnitude, count), kth({&view, 1}, KeyOrder::kValue, count)};
    std::uint64_t patterns[2];
    std::memcpy(patterns, found, sizeof patterns);
    keep("kth_magnitude", dtype, patterns[0]);
    keep("kth_value", dtype, patterns[1]);
    const Ranking magnitudes = rank_by_magnitude({&view, 1});
    prune_ranked(magnitudes, {&view, 1}, count, {&out_view, 1});
    keep("prune_magnitude", dtype, out.hash());
    prune_ranked(magnitudes, {&view, 1}, count, {&bits_view, 1});
    keep("prune_magnitude packed", dtype, bits.hash());
    prune_ranked_rows(magnitudes, view, cols_ / 2, 1, out_view);
    keep("prune_magnitude row", dtype, out.hash());
  }

  void prune_by_criteria(DType dtype) {
    CounterSource source;
    Matrix w = Matrix::floats(dtype, rows_, cols_, source), other = Matrix::floats(dtype, rows_, cols_, source);
    Matrix out(dtype, rows_, cols_), bits(DType::kUInt8, rows_, (cols_ + 7) / 8);
    const View view = w.view(), other_view = other.view(), out_view = out.view(), bits_view = bits.view();
    const std::int64_t count = rows_ * cols_ / 3;
    prune_ranked(rank_by_value({&other_view, 1}), {&view, 1}, count, {&out_view, 1});
    keep("prune_scores", dtype, out.hash());
    prune_ranked(rank_by_product({&view, 1}, {&other_view, 1}), {&view, 1}, count, {&out_view, 1});
    keep("prune_taylor", dtype, out.hash());
    prune_ranked(rank_at_random({&view, 1}, 5), {&view, 1}, count, {&out_view, 1});
    keep("prune_random", dtype, out.hash());
    const double mean = mean_magnitude(Matrix::floats(dtype, rows_, cols_, source, /*finite=*/true).view());
    std::uint64_t pattern;
    std::memcpy(&pattern, &mean, sizeof pattern);
    keep("mean_magnitude", dtype, pattern);
    for (const int m : {4, 7}) {
      prune_nm(view, 2, m, 1, bits_view);
      keep(m == 4 ? "mask_nm 2:4" : "mask_nm 2:7", dtype, bits.hash());
    }
    prune_transposable(view, bits_view);
    keep("mask_nm transposable", dtype, bits.hash());
    for (const BlockNorm norm : {BlockNorm::kL1, BlockNorm::kL2, BlockNorm::kMax}) {
      prune_blocks(view, {3, 5}, 0.5, norm, bits_view);
      keep(("mask_blocks " + std::to_string(static_cast<int>(norm))).c_str(), dtype, bits.hash());
    }
  }

  void quantize(DType dtype) {
    Matrix w = floats(dtype), out(dtype, rows_, cols_), q(DType::kInt8, rows_, cols_), scale(arithmetic_dtype(dtype), rows_, 1);
    round_fixed(w.view(), 6, out.view());
    keep("round_fixed", dtype, out.hash());
    quantize_int8(w.view(), 1, q.view(), scale.view());
    keep("quantize_int8", dtype, q.hash());
    keep("quantize_int8 scale", dtype, scale.hash());
    dequantize_int8(q.view(), scale.view(), out.view());
    keep("dequantize_int8", dtype, out.hash());
  }

  // Asymmetric along rows, symmetric along columns.
  void quantize_by_rules(DType dtype) {
    Matrix w = floats(dtype), out(dtype, rows_, cols_);
    for (const char* name : {"tersor", "compressed-tensors", "onnx", "torch", "gptq", "awq", "matmulnbits"})
      for (const GroupAxis groups : {GroupAxis{1, 40}, GroupAxis{0, 7}}) {
        const bool symmetric = groups.axis == 0;
        const CodeOptions options{convention_of(name),
                                  {5, symmetric, false},
                                  symmetric ? cpu::Rounding::kStochastic : cpu::Rounding::kHalfEven,
                                  7,
                                  false};
        const std::int64_t along = ((symmetric ? rows_ : cols_) + groups.size - 1) / groups.size;
        Matrix q(DType::kUInt8, rows_, cols_), scale(dtype, symmetric ? along : rows_, symmetric ? cols_ : along);
        Matrix zero_point(DType::kUInt8, symmetric ? along : rows_, symmetric ? cols_ : along);
        const View zero_view = zero_point.view(), *const zeros = symmetric ? nullptr : &zero_view;
        quantize_groups(w.view(), groups, kWholeRanges, options, q.view(), scale.view(), zeros);
        const std::string what = std::string("quantize ") + name + (symmetric ? " symmetric" : " asymmetric");
        keep(what.c_str(), dtype, q.hash());
        keep((what + " scale").c_str(), dtype, scale.hash());
        decode_groups(q.view(), groups, options.format, false, scale.view(), zeros, out.view());
        keep(("de" + what).c_str(), dtype, out.hash());
      }
  }

  void quantize_by_search(DType dtype) {
    Matrix w = floats(dtype), q(DType::kUInt8, rows_, cols_);
    const CodeOptions options{Convention::kTersor, {3, false, false}, cpu::Rounding::kHalfEven, 0, false};
    for (const GroupAxis groups : {GroupAxis{1, 40}, GroupAxis{0, 7}})
      for (const auto& [name, method] : {std::pair{"percentile", RangeMethod::kPercentile}, {"mse", RangeMethod::kLeastError}}) {
        const std::int64_t rows = groups.axis ? rows_ : ceil_div(rows_, 7), cols = groups.axis ? ceil_div(cols_, 40) : cols_;
        Matrix scale(dtype, rows, cols), zero_point(DType::kUInt8, rows, cols);
        const View zeros = zero_point.view();
        quantize_groups(w.view(), groups, {method, 95, {0.5, 20}, nullptr}, options, q.view(), scale.view(), &zeros);
        keep((std::string("quantize ") + name + (groups.axis ? " along" : " down")).c_str(), dtype, q.hash());
      }
  }

  // Of the rows' first columns: whole blocks.
  void formats(DType dtype) {
    const std::int64_t rows = rows_ / 8 * 8, cols = cols_ / 256 * 256;
    if (rows == 0 || cols == 0) return;
    CounterSource source;
    Matrix w = Matrix::numbers(dtype, rows, cols, source), out(dtype, rows, cols);
    for (const auto& [name, run] : {std::pair{"nf4", 64}, {"fp4", 128}, {"nvfp4", 16}, {"mxfp4", 32}}) {
      const FloatFormat& format = float_format_of(name);
      const std::int64_t runs = rows * cols / run;
      Matrix packed(DType::kUInt8, 1, rows * cols / 2), scale(run > 32 ? DType::kFloat32 : DType::kUInt8, 1, runs);
      encode_float(w.view(), format, run, 0.5f, packed.row(), scale.row());
      keep(std::string("encode ") + name, dtype, packed.hash() ^ scale.hash());
      decode_float(packed.row(), scale.row(), format, run, 0.5f, out.view());
      keep(std::string("decode ") + name, dtype, out.hash());
    }
    steps(dtype, rows, cols);
    for (const auto& [kind, bytes] : {std::pair{"q4_0", 144}, {"q5_1", 192}, {"q8_0", 272}, {"q4_k", 144}, {"q6_k", 210}}) {
      Matrix data(DType::kUInt8, rows, cols / 256 * bytes);
      encode_gguf(w.view(), kind, data.view());
      keep(std::string("encode ") + kind, dtype, data.hash());
      decode_gguf(data.view(), kind, out.view());
      keep(std::string("decode ") + kind, dtype, out.hash());
    }
    words(dtype, rows, cols);
  }

  // Of torchao's int4.
  void steps(DType dtype, std::int64_t rows, std::int64_t cols) {
    CounterSource source;
    const FloatFormat& format = float_format_of("int4");
    Matrix w = Matrix::numbers(dtype, rows, cols, source), out(dtype, rows, cols), packed(DType::kUInt8, 1, rows * cols / 2);
    Matrix scale(DType::kFloat32, 1, rows * cols / 64), offset(DType::kFloat32, 1, rows * cols / 64);
    const View offsets = offset.row();
    for (const auto& [name, shifts] : {std::pair<const char*, const View*>{"int4", &offsets}, {"symmetric int4", nullptr}}) {
      encode_float(w.view(), format, 64, 1, packed.row(), scale.row(), shifts);
      keep(std::string("encode ") + name, dtype, packed.hash() ^ scale.hash() ^ (shifts ? offset.hash() : 0));
      decode_float(packed.row(), scale.row(), format, 64, 1, out.view(), shifts);
      keep(std::string("decode ") + name, dtype, out.hash());
    }
  }

  // Codes of 4 bits along the columns and across the rows.
  void words(DType dtype, std::int64_t rows, std::int64_t cols) {
    CounterSource source;
    Matrix q = Matrix::integers(DType::kUInt8, rows, cols, 0, 16, source), scale = Matrix::numbers(dtype, rows, cols / 64, source);
    Matrix zero_point = Matrix::integers(DType::kUInt8, rows, cols / 64, 0, 16, source), out(dtype, rows, cols);
    const View zeros = zero_point.view();
    for (const auto& [name, order, axis] : {std::tuple{"words", CodeOrder::kLowFirst, 1}, {"words across", CodeOrder::kAwq, 0}}) {
      const BitLayout layout{4, false, order, false, axis};
      Matrix packed(DType::kInt32, axis ? rows : rows / 8, axis ? cols / 8 : cols);
      pack_bits(q.view(), layout, packed.view());
      keep(std::string("pack_bits ") + name, dtype, packed.hash());
      decode_words(packed.view(), layout, 64, scale.view(), &zeros, out.view());
      keep(std::string("decode ") + name, dtype, out.hash());
    }
  }

  void softmax_at_temperatures(DType dtype) {
    Matrix x = floats(dtype), out(dtype, rows_, cols_);
    softmax(x.view(), 0.7, 1, out.view());
    keep("softmax", dtype, out.hash());
    softmax(x.view(), 0.01, 1, out.view());
    keep("softmax cold", dtype, out.hash());
    logarithms_and_gradients(dtype, 0.7, "");
    logarithms_and_gradients(dtype, 0.01, " cold");
  }
  void logarithms_and_gradients(DType dtype, double t, const std::string& name) {
    CounterSource source;
    Matrix x = Matrix::numbers(dtype, rows_, cols_, source), gradient = Matrix::numbers(dtype, rows_, cols_, source);
    Matrix y(dtype, rows_, cols_), out(dtype, rows_, cols_), sums(dtype, rows_, 1);
    const View temperature = view_of_temperature(t);
    softmax(x.view(), t, 1, y.view());
    softmax_backward(gradient.view(), y.view(), temperature, 1, out.view());
    keep("softmax_backward" + name, dtype, out.hash());
    log_softmax(x.view(), temperature, 1, y.view());
    keep("log_softmax" + name, dtype, y.hash());
    log_softmax_backward(gradient.view(), y.view(), temperature, 1, out.view());
    keep("log_softmax_backward" + name, dtype, out.hash());
    logsumexp(x.view(), temperature, 1, sums.view());
    keep("logsumexp" + name, dtype, sums.hash());
    logsumexp_backward(sums.view(), x.view(), temperature, 1, out.view());
    keep("logsumexp_backward" + name, dtype, out.hash());
  }

  // Numbers alone, since an infinity would take over its unit.
  void structured(DType dtype) {
    CounterSource source;
    Matrix w = Matrix::numbers(dtype, rows_, cols_, source), gradient = Matrix::numbers(dtype, rows_, cols_, source);
    const View gradient_view = gradient.view();
    const std::pair<const char*, UnitCriterion> criteria[] = {
        {"l1", UnitCriterion::kL1}, {"l2", UnitCriterion::kL2}, {"max", UnitCriterion::kMax}, {"taylor", UnitCriterion::kTaylor}};
    for (const int axis : {0, 1}) {
      const std::string along = " axis " + std::to_string(axis);
      Matrix scores(DType::kFloat64, 1, axis ? cols_ : rows_);
      for (const auto& [name, criterion] : criteria) {
        const View* with = criterion == UnitCriterion::kTaylor ? &gradient_view : nullptr;
        score_units(w.view(), criterion, axis, 1, with, vector_of(scores.view()));
        keep("score_units " + std::string(name) + along, dtype, scores.hash());
      }
      remove(dtype, w, axis, scores);
    }
  }

  void remove(DType dtype, Matrix& w, int axis, Matrix& scores) {
    const std::int64_t units = axis ? cols_ : rows_, kept = units - count_to_prune(0.5, units);
    Matrix stays(DType::kBool, 1, units), smaller(dtype, axis ? rows_ : kept, axis ? kept : cols_);
    select_units(vector_of(scores.view()), 0.5, 1, vector_of(stays.view()));
    keep("select_units axis " + std::to_string(axis), dtype, stays.hash());
    const View from = w.view(), to = smaller.view();
    const UnitAxis units_axis{axis, 1};
    remove_units({&from, 1}, vector_of(stays.view()), {&units_axis, 1}, {&to, 1});
    keep("remove_units axis " + std::to_string(axis), dtype, smaller.hash());
  }

  static View vector_of(View row) {
    row.ndim = 1;
    row.shape[0] = row.shape[1];
    row.stride_bytes[0] = row.stride_bytes[1];
    return row;
  }

  // The columns as variables, the labels of their samples; the rows as units, whose activations are the columns.
  void information(DType dtype) {
    CounterSource source;
    Matrix labels = Matrix::integers(DType::kUInt8, 1, rows_, 0, 5, source), x = floats(dtype), out(dtype, rows_, cols_);
    Matrix counts(DType::kInt64, 1, 32), few_counts(DType::kInt64, 1, 5), scores(DType::kFloat64, 1, cols_);
    const BinRule even{0, BinKind::kUniform, uniform_edges(-2, 2, 32, "edges")};
    const std::vector<double> uneven = {-1.0, -0.1, 0.0, 0.0, 0.11, 1.0};
    histogram(x.view(), even.edges, counts.row());
    keep("histogram", dtype, counts.hash());
    histogram(x.view(), uneven, few_counts.row());
    keep("histogram uneven", dtype, few_counts.hash());
    mutual_information(x.view(), labels.row(), even, scores.row());
    keep("mutual_information", dtype, scores.hash());
    entropy_rows(x.view(), 0, even, scores.row());
    keep("entropy", dtype, scores.hash());
    View activations = x.view();
    std::swap(activations.shape[0], activations.shape[1]);
    std::swap(activations.stride_bytes[0], activations.stride_bytes[1]);
    prune_information(x.view(), activations, nullptr, even, 0.5, 0, out.view());
    keep("prune_information", dtype, out.hash());
  }

  void nats() {
    CounterSource source;
    std::vector<double> p(static_cast<std::size_t>(rows_ * cols_)), q(p.size());
    for (std::vector<double>* shares : {&p, &q}) {
      double sum = 0;
      for (double& share : *shares) sum += share = static_cast<double>(source.next() >> 44);
      for (double& share : *shares) share /= sum;
    }
    View views[2];
    for (int i = 0; i < 2; ++i) {
      views[i].data = reinterpret_cast<std::byte*>((i ? q : p).data());
      views[i].dtype = DType::kFloat64;
      views[i].ndim = 1;
      views[i].shape[0] = rows_ * cols_;
      views[i].stride_bytes[0] = sizeof(double);
    }
    const double found[] = {divergence(views[0], views[1]), distribution_entropy(views[0])};
    std::uint64_t patterns[2];
    std::memcpy(patterns, found, sizeof patterns);
    keep("divergence", DType::kFloat64, patterns[0]);
    keep("distribution_entropy", DType::kFloat64, patterns[1]);
  }

  // The weight: the values of the matrix that the mask keeps, which are those of its head, one after the other.
  void matmul(DType dtype) {
    CounterSource source;
    Matrix values = floats(dtype), mask = Matrix::integers(DType::kBool, rows_, cols_, 0, 2, source);
    Matrix bits(DType::kUInt8, rows_, (cols_ + 7) / 8), offsets(DType::kInt64, 1, rows_), out(dtype, 3, rows_);
    pack_mask(mask.view(), bits.view());
    const std::byte* kept = mask.view().data;
    std::int64_t count = 0;
    for (std::int64_t row = 0; row < rows_; ++row) {
      offsets.set(row, static_cast<std::uint64_t>(count));
      for (std::int64_t col = 0; col < cols_; ++col) count += std::to_integer<int>(kept[row * cols_ + col]);
    }
    Matrix x = Matrix::floats(dtype, 3, cols_, source);
    matmul_bitmask(x.view(), {values.flat_view(count), bits.view(), offsets.flat_view(rows_), rows_, cols_}, out.view());
    keep("matmul_bitmask", dtype, out.hash());
  }

  void compress(DType dtype) {
    Matrix w = floats(dtype), values(dtype, rows_, cols_), bits(DType::kUInt8, rows_, (cols_ + 7) / 8);
    Matrix offsets(DType::kInt64, 1, rows_);
    prune_threshold(w.view(), 0.25, w.view());
    BitmaskViews t{values.flat_view(rows_ * cols_), bits.view(), offsets.flat_view(rows_), rows_, cols_};
    t.values = values.flat_view(compress_bitmask(w.view(), t));
    keep("compress_bitmask", dtype, values.hash());
    decompress_bitmask(t, w.view());
    keep("decompress_bitmask", dtype, w.hash());

    prune_nm(w.view(), 2, 7, 1, w.view());
    const std::int64_t stored = stored_columns(cols_, 2, 7);
    Matrix of_rows(dtype, rows_, stored), indices(DType::kUInt8, rows_, (3 * stored + 7) / 8);
    compress_nm(w.view(), 2, 7, of_rows.view(), indices.view());
    keep("compress_nm", dtype, of_rows.hash() ^ indices.hash());

    View whole_groups = w.view();
    whole_groups.shape[1] = cols_ / 4 * 4;
    prune_nm(whole_groups, 2, 4, 1, whole_groups);
    Matrix half(dtype, rows_, cols_ / 4 * 2), kept(DType::kUInt8, rows_, (cols_ / 4 * 4 + 7) / 8);
    compress_24_bitmask(whole_groups, half.view(), kept.view());
    keep("compress_24", dtype, half.hash() ^ kept.hash());
  }

  void pack() {
    CounterSource source;
    Matrix mask = Matrix::integers(DType::kBool, rows_, cols_, 0, 2, source), bits(DType::kUInt8, rows_, (cols_ + 7) / 8);
    pack_mask(mask.view(), bits.view());
    keep("pack_mask", DType::kUInt8, bits.hash());
    unpack_mask(bits.view(), mask.view());
    keep("unpack_mask", DType::kBool, mask.hash());
    invert_mask(bits.view(), cols_, bits.view());
    keep("invert_mask", DType::kUInt8, bits.hash() ^ static_cast<std::uint64_t>(count_mask(bits.view(), cols_)));
    Matrix q = Matrix::integers(DType::kInt8, rows_, cols_, -8, 8, source), packed(DType::kUInt8, rows_, (cols_ + 1) / 2);
    pack_int4(q.view(), packed.view());
    keep("pack_int4", DType::kUInt8, packed.hash());
    unpack_int4(packed.view(), q.view());
    keep("unpack_int4", DType::kInt8, q.hash());
  }

  std::int64_t rows_, cols_;
  Hashes& hashes_;
};

Hashes compute() {
  Hashes hashes;
  // Rows that end within a vector, rows shorter than one, one row of several chunks.
  constexpr std::int64_t kShapes[][2] = {{41, 1021}, {203, 13}, {1, 70'017}};
  for (const auto& [rows, cols] : kShapes) Run(rows, cols, hashes).all();
  return hashes;
}

Hashes read(const char* path) {
  Hashes hashes;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) hashes[line.substr(17)] = std::stoull(line.substr(0, 16), nullptr, 16);
  return hashes;
}

void write(const char* path, const Hashes& hashes) {
  std::FILE* file = std::fopen(path, "w");
  for (const auto& [name, hash] : hashes) std::fprintf(file, "%016llx %s\n", static_cast<unsigned long long>(hash), name.c_str());
  std::fclose(file);
}

}  // namespace

int main(int argc, char** argv) {
  const char* path = TERSOR_GOLDEN_FILE;
  if (argc > 1 && std::strcmp(argv[1], "--renew") == 0) {
    write(path, compute());
    return 0;
  }
  const Hashes wanted = read(path);
  int passed = 0, failed = 0;
  for (const CpuLevel level : supported_cpu_levels()) {
    set_cpu_level(name_of(level));
    const Hashes got = compute();
    failed += got.size() != wanted.size();
    for (const auto& [name, hash] : got) {
      const auto found = wanted.find(name);
      const bool same = found != wanted.end() && found->second == hash;
      ++(same ? passed : failed);
      if (!same) std::printf("FAILED at level %s: %s\n", name_of(level), name.c_str());
    }
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
