#include "ops/formats_float.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "core/check.h"
#include "core/integers.h"
#include "core/memory.h"
#include "core/named.h"
#include "core/parallel.h"
#include "cpu/formats_float.h"
#include "ops/check_views.h"
#include "ops/loop.h"
#include "ops/quantize_codes.h"
#include "ops/quantize_layout.h"

namespace tersor {

struct FloatFormat {
  cpu::CodeTable table;
  cpu::ScaleFormat scale;
  bool narrows;  // as cpu::FloatCodeRule
  bool has_steps = false;
};

namespace {

// --- the formats ---------------------------------------------------------------------------------------------------------

using Numbers = float[cpu::kTableCodes];

constexpr Numbers kE2m1 = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6};
// bitsandbytes' normal map: Dettmers et al., "QLoRA" (2023).
constexpr Numbers kNf4 = {-1,
                          -0.6961928009986877f,
                          -0.5250730514526367f,
                          -0.39491748809814453f,
                          -0.28444138169288635f,
                          -0.18477343022823334f,
                          -0.09105003625154495f,
                          0,
                          0.07958029955625534f,
                          0.16093020141124725f,
                          0.24611230194568634f,
                          0.33791524171829224f,
                          0.44070982933044434f,
                          0.5626170039176941f,
                          0.7229568362236023f,
                          1};
// And its minifloat.
constexpr Numbers kFp4 = {0,     0.0625f / 12,  8.0f / 12,  1,  4.0f / 12,  0.5f,  2.0f / 12,  0.25f,
                          -0.0f, -0.0625f / 12, -8.0f / 12, -1, -4.0f / 12, -0.5f, -2.0f / 12, -0.25f};

// Two's complement.
constexpr Numbers kInt4 = {0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1};

constexpr cpu::CodeTable table_of(const Numbers& numbers, bool is_e2m1, bool even_is_high) {
  cpu::CodeTable table{};
  std::uint8_t order[cpu::kTableCodes] = {};
  std::iota(order, order + cpu::kTableCodes, std::uint8_t{0});
  for (int i = 1; i < cpu::kTableCodes; ++i)  // by insertion, which keeps the order of what is equal
    for (int k = i; k > 0 && numbers[order[k]] < numbers[order[k - 1]]; --k) std::swap(order[k], order[k - 1]);
  for (int i = 0; i < cpu::kTableCodes; ++i) {
    (i < 8 ? table.low[i] : table.high[i - 8]) = numbers[i];
    table.codes[i] = order[i];
  }
  const auto bound = [&](int i) { return (numbers[order[i]] + numbers[order[i + 1]]) / 2; };
  table.middle = bound(7);
  for (int i = 0; i < 2; ++i) table.halves[i] = bound(8 * i + 3);
  for (int i = 0; i < 4; ++i) table.quarters[i] = bound(4 * i + 1);
  for (int i = 0; i < 8; ++i) table.eighths[i] = bound(2 * i);
  table.is_e2m1 = is_e2m1;
  table.even_is_high = even_is_high;
  return table;
}

constexpr FloatFormat kFormats[] = {{table_of(kNf4, false, true), cpu::ScaleFormat::kFloat32, false},
                                    {table_of(kFp4, false, true), cpu::ScaleFormat::kFloat32, false},
                                    {table_of(kE2m1, true, false), cpu::ScaleFormat::kE8m0Up, true},
                                    {table_of(kE2m1, true, false), cpu::ScaleFormat::kE8m0, false},
                                    {table_of(kE2m1, true, false), cpu::ScaleFormat::kE4m3Divisor, false},
                                    {table_of(kE2m1, true, false), cpu::ScaleFormat::kE4m3Multiplier, false},
                                    {table_of(kInt4, false, false), cpu::ScaleFormat::kFloat32, false, true}};
constexpr Named<const FloatFormat*> kNames[] = {{"nf4", &kFormats[0]},   {"fp4", &kFormats[1]},
                                                {"mxfp4", &kFormats[2]}, {"mxfp4-ocp", &kFormats[3]},
                                                {"nvfp4", &kFormats[4]}, {"nvfp4-modelopt", &kFormats[5]},
                                                {"int4", &kFormats[6]}};

bool has_float32_scales(const FloatFormat& format) noexcept { return format.scale == cpu::ScaleFormat::kFloat32; }

// --- what is asked of the arguments ----------------------------------------------------------------------------------------

constexpr std::int64_t kMostRun = 4096;

void require_size(const View& view, std::int64_t size, const View& full) {
  if (view.size() != size)
    throw ValueError(std::string(view.name) + " has " + std::to_string(view.size()) + " items; for " + full.name + " of shape " +
                     shape_text(full) + " it must have " + std::to_string(size));
}

void require_parts(const char* op, const View& full, const FloatFormat& format, std::int64_t run, const View& packed,
                   const View& scale, const View* offset) {
  require_floating(full);
  const std::int64_t least_run = has_float32_scales(format) ? 32 : 16;
  if (run < least_run || run > kMostRun || !std::has_single_bit(static_cast<std::uint64_t>(run)))
    throw ValueError("group_size must be a power of two in [" + std::to_string(least_run) + ", " + std::to_string(kMostRun) +
                     "], got " + std::to_string(run));
  require_dtype(packed, {DType::kUInt8});
  require_contiguous(packed);
  for (const View* part : {&packed, &scale}) require_same_device(full, *part);
  require_size(packed, ceil_div(full.size(), 2), full);
  require_size(scale, ceil_div(full.size(), run), full);
  if (offset) {
    if (!format.has_steps) throw ValueError("offset must be None: these codes have none");
    require_same_device(full, *offset);
    require_size(*offset, scale.size(), full);
  }
  require_cpu(op, full);
}

// Of numbers that are made: a scale a run, and perhaps an offset.
void require_outputs(const FloatFormat& format, const View& scale, const View* offset) {
  require_dtype(scale, {has_float32_scales(format) ? DType::kFloat32 : DType::kUInt8});
  require_contiguous(scale);
  if (!offset) return;
  require_dtype(*offset, {DType::kFloat32});
  require_contiguous(*offset);
}

// And of those that are read: those of steps lie as they like.
void require_inputs(const FloatFormat& format, const View& scale, const View* offset) {
  if (!format.has_steps) return require_outputs(format, scale, offset);
  for (const View* numbers : {&scale, offset})
    if (numbers) require_dtype(*numbers, {DType::kFloat32, DType::kFloat16, DType::kBFloat16});
}

GroupLayout runs_of(const View& full, std::int64_t run) noexcept {
  return {1, full.size(), 1, run, ceil_div(full.size(), run), true};
}

// --- a tile --------------------------------------------------------------------------------------------------------------

// What is read twice: a tile is measured, then encoded from L1.
struct FloatEncoder {
  const cpu::FormatsFloatKernels& kernels;
  const FloatFormat& format;
  GroupLayout layout;
  Grid grid;
  DType dtype;
  float global;
  const View &packed, &scale;
  const View* offset;

  std::int64_t item_bytes() const noexcept { return item_size(dtype); }
  std::int64_t scale_bytes() const noexcept { return item_size(scale.dtype); }

  void encode(const Tile& tile, std::byte* scratch) const {
    if (format.has_steps) return encode_steps(tile, scratch);
    const RowCut cut(layout, item_bytes());
    std::byte* const magnitudes = scratch + grid.scratch_bytes(1, cut.cols_each);
    auto* const scales = reinterpret_cast<float*>(magnitudes + padded(cut.groups_each) * item_bytes());
    const auto* const from = grid.read(0, 1, tile.col, tile.cols, scratch).row<std::byte>(0);
    std::byte* const stored = scale.data + tile.first_scale * scale_bytes();
    kernels.measure[dtype](from, tile.cols, layout.size, magnitudes);
    kernels.make_scales[dtype](magnitudes, tile.scales, format.scale, global, stored, scales);
    encode_runs(from, tile, stored, scales);
  }

  // The range of a run in 15 steps; or without offsets, its greatest magnitude in 8.
  void encode_steps(const Tile& tile, std::byte* scratch) const {
    constexpr float kLeastRange = 1e-6f;
    const RowCut cut(layout, item_bytes());
    auto* const lows = reinterpret_cast<float*>(scratch + grid.scratch_bytes(1, cut.cols_each));
    float* const scales = lows + padded(cut.groups_each);
    const auto* const from = grid.read(0, 1, tile.col, tile.cols, scratch).row<std::byte>(0);
    kernels.measure_ranges[dtype](from, tile.cols, layout.size, lows, scales);
    for (std::int64_t i = 0; i < tile.scales; ++i) {
      const float high = scales[i];
      scales[i] = offset ? std::max(high - lows[i], kLeastRange) / 15 : std::max({high, -lows[i], kLeastRange}) / 8;
    }
    std::memcpy(scale.data + tile.first_scale * scale_bytes(), scales, static_cast<std::size_t>(tile.scales * scale_bytes()));
    kernels.encode_steps[dtype](from, tile.cols, layout.size, offset ? lows : nullptr, scales, codes_of(tile), next_of(tile, from));
    if (!offset) return;
    for (std::int64_t i = 0; i < tile.scales; ++i) lows[i] += scales[i] * 8;
    std::memcpy(offset->data + tile.first_scale * scale_bytes(), lows, static_cast<std::size_t>(tile.scales * scale_bytes()));
  }

  std::uint8_t* codes_of(const Tile& tile) const noexcept { return reinterpret_cast<std::uint8_t*>(packed.data) + tile.col / 2; }
  const std::byte* next_of(const Tile& tile, const std::byte* from) const noexcept {
    return grid.is_dense() ? from + tile.cols * item_bytes() : nullptr;
  }

  void encode_runs(const std::byte* from, const Tile& tile, std::byte* stored, float* scales) const {
    std::uint8_t* const to = codes_of(tile);
    const bool divides = format.scale == cpu::ScaleFormat::kE4m3Divisor || format.scale == cpu::ScaleFormat::kE4m3Multiplier;
    const std::int64_t whole = has_float32_scales(format) ? tile.cols / layout.size * layout.size : tile.cols;
    kernels.encode[dtype](from, whole, layout.size, scales, {format.table, divides, format.narrows}, to, next_of(tile, from));
    if (whole == tile.cols) return;
    // bitsandbytes divides a last run that is shorter, and stores no 0 for it.
    std::byte* const last = stored + (tile.scales - 1) * scale_bytes();
    float absmax;
    std::memcpy(&absmax, last, sizeof absmax);
    absmax = std::max(absmax, 1e-38f);
    std::memcpy(last, &absmax, sizeof absmax);
    kernels.encode[dtype](from + whole * item_bytes(), tile.cols - whole, layout.size, &absmax, {format.table, true, false},
                          to + whole / 2, nullptr);
  }
};

// Numbers of runs, in float32.
class RunScales {
 public:
  RunScales(const FloatFormat& format, const View& scale, float global, const RowCut& cut)
      : format_(format), scale_(scale), global_(global), groups_each_(cut.groups_each) {
    if (format.has_steps) stored_.emplace(DType::kFloat32, scale, nullptr, CodeFormat{4, true, true}, Access::kRead);
  }

  std::int64_t scratch_bytes() const noexcept {
    return stored_ ? GroupNumbers::bytes(groups_each_, sizeof(float))
                   : padded(groups_each_) * static_cast<std::int64_t>(sizeof(float));
  }

  const float* load(const Tile& tile, std::byte* scratch) const noexcept {
    if (stored_) {
      const GroupNumbers numbers(scratch, groups_each_, sizeof(float));
      stored_->load(numbers, tile.first_scale, tile.scales);
      return reinterpret_cast<const float*>(numbers.scales);
    }
    const std::byte* const stored = scale_.data + tile.first_scale * item_size(scale_.dtype);
    auto* const scales = reinterpret_cast<float*>(scratch);
    if (has_float32_scales(format_))  // which may begin at any byte
      std::memcpy(scales, stored, static_cast<std::size_t>(tile.scales) * sizeof(float));
    else
      cpu::formats_float_kernels().load_scales(stored, tile.scales, format_.scale, global_, scales);
    return scales;
  }

 private:
  const FloatFormat& format_;
  const View& scale_;
  float global_;
  std::int64_t groups_each_;
  std::optional<StoredScales> stored_;  // however they lie
};

}  // namespace

const FloatFormat& float_format_of(std::string_view name) { return *find_named(kNames, name, "format"); }

float number_of(const FloatFormat& format, int code) noexcept {
  return code < 8 ? format.table.low[code] : format.table.high[code - 8];
}

void encode_float(const View& w, const FloatFormat& format, std::int64_t run, float global, const View& packed, const View& scale,
                  const View* offset) {
  require_parts("encode", w, format, run, packed, scale, offset);
  require_outputs(format, scale, offset);
  require_no_overlap(w, packed);
  require_no_overlap(w, scale);
  require_no_overlap(packed, scale);
  if (offset)
    for (const View* other : {&w, &packed, &scale}) require_no_overlap(*other, *offset);
  if (w.size() == 0) return;
  const FloatEncoder encoder{
      cpu::formats_float_kernels(), format, runs_of(w, run), grid_of(w, 0), w.dtype, global, packed, scale, offset};
  const std::int64_t item_bytes = item_size(w.dtype);
  const RowCut cut(encoder.layout, item_bytes);
  // Magnitudes as they come, or lows; and scales.
  const std::int64_t number_bytes = sizeof(float), bytes_a_run = std::max(item_bytes, number_bytes) + number_bytes;
  const std::int64_t scratch_bytes = encoder.grid.scratch_bytes(1, cut.cols_each) + padded(cut.groups_each) * bytes_a_run;
  for_each_stretch(encoder.layout, item_bytes, scratch_bytes,
                   [&](const Tile& tile, std::byte* scratch) { encoder.encode(tile, scratch); });
}

void decode_float(const View& packed, const View& scale, const FloatFormat& format, std::int64_t run, float global, const View& out,
                  const View* offset) {
  require_parts("decode", out, format, run, packed, scale, offset);
  require_inputs(format, scale, offset);
  require_no_overlap(packed, out);
  require_no_overlap(scale, out);
  if (offset) require_no_overlap(*offset, out);
  if (out.size() == 0) return;
  const auto& kernels = cpu::formats_float_kernels();
  const GroupLayout layout = runs_of(out, run);
  const Grid grid = grid_of(out, 0);
  const RowCut cut(layout, item_size(out.dtype));
  const Store store = grid.is_dense() ? store_for(packed, out) : Store::kCached;
  const std::int64_t rectangle_bytes = grid.scratch_bytes(1, cut.cols_each);
  const RunScales scales(format, scale, global, cut);
  std::optional<RunScales> offsets;
  if (offset) offsets.emplace(format, *offset, 1.0f, cut);
  const std::int64_t scratch_bytes = rectangle_bytes + 2 * scales.scratch_bytes();
  for_each_stretch(layout, item_size(out.dtype), scratch_bytes, [&](const Tile& tile, std::byte* scratch) {
    std::byte* const numbers = scratch + rectangle_bytes;
    const cpu::RunShifts shifts{.plus = offsets ? offsets->load(tile, numbers + scales.scratch_bytes()) : nullptr};
    const Rectangle part{0, 1, tile.col, tile.cols};
    const auto* const from = reinterpret_cast<const std::uint8_t*>(packed.data) + tile.col / 2;
    kernels.decode[out.dtype](from, tile.cols, run, scales.load(tile, numbers), shifts, format.table,
                              grid.place(part, scratch).row<std::byte>(0), store);
    grid.write(part, scratch);
  });
}

float greatest_magnitude(const View& w) {
  require_floating(w);
  require_cpu("encode", w);
  if (w.size() == 0) return 0;
  constexpr std::int64_t kRun = 4096;
  const auto& kernels = cpu::formats_float_kernels();
  const GroupLayout layout = runs_of(w, kRun);
  const Grid grid = grid_of(w, 0);
  const std::int64_t item_bytes = item_size(w.dtype);
  const RowCut cut(layout, item_bytes);
  const std::int64_t rectangle_bytes = grid.scratch_bytes(1, cut.cols_each);
  std::atomic<float> greatest{0};
  for_each_stretch(
      layout, item_bytes, rectangle_bytes + padded(cut.groups_each) * (item_bytes + 2 * static_cast<std::int64_t>(sizeof(float))),
      [&](const Tile& tile, std::byte* scratch) {
        std::byte* const magnitudes = scratch + rectangle_bytes;
        auto* const numbers = reinterpret_cast<float*>(magnitudes + padded(cut.groups_each) * item_bytes);
        kernels.measure[w.dtype](grid.read(0, 1, tile.col, tile.cols, scratch).row<std::byte>(0), tile.cols, kRun, magnitudes);
        kernels.make_scales[w.dtype](magnitudes, tile.scales, cpu::ScaleFormat::kFloat32, 1, reinterpret_cast<std::byte*>(numbers),
                                     numbers + padded(cut.groups_each));
        const float found = *std::max_element(numbers, numbers + tile.scales);
        for (float known = greatest.load(); known < found && !greatest.compare_exchange_weak(known, found);) {
        }
      });
  return greatest.load();
}

}  // namespace tersor
