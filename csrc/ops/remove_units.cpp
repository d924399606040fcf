#include "ops/remove_units.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>

#include "core/check.h"
#include "core/integers.h"
#include "ops/check_views.h"
#include "ops/float_format.h"
#include "ops/select.h"
#include "ops/structured.h"
#include "ops/tiles.h"

namespace tersor {

namespace {

// What is read at once, and gathered where rows are not dense.
constexpr std::int64_t kTileItems = 64 << 10;

std::vector<std::int64_t> kept_units(const View& keep) {
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < keep.shape[0]; ++i)
    if (keep.data[i * keep.stride_bytes[0]] != std::byte{0}) kept.push_back(i);
  return kept;
}

// Some of the units that stay, as a range of kept_units, and where unit 0 would lie in each array.
struct Moved {
  const std::int64_t *begin, *end;
  const std::byte* from;
  std::int64_t from_stride, to_stride;
};

// Units in a local copy: what is written through bytes might else be taken for a part of it, and read again each time.
template <std::int64_t kBytes>
void move_items(const Moved units, std::byte* to) {
  if (units.from_stride == kBytes && units.to_stride == kBytes) {  // columns of a matrix
    for (const std::int64_t* unit = units.begin; unit != units.end; ++unit, to += kBytes)
      std::memcpy(to, units.from + *unit * kBytes, kBytes);
    return;
  }
  for (const std::int64_t* unit = units.begin; unit != units.end; ++unit, to += units.to_stride)
    std::memcpy(to, units.from + *unit * units.from_stride, kBytes);
}

// Copies so many bytes of each, the first of them to `to`.
void move_units(const Moved& units, std::int64_t bytes, std::byte* to) {
  switch (bytes) {
    case 1: return move_items<1>(units, to);
    case 2: return move_items<2>(units, to);
    case 4: return move_items<4>(units, to);
    case 8: return move_items<8>(units, to);
    default: break;
  }
  for (const std::int64_t* unit = units.begin; unit != units.end; ++unit, to += units.to_stride)
    std::memcpy(to, units.from + *unit * units.from_stride, static_cast<std::size_t>(bytes));
}

// One array: tiles of a few rows and a few units, or of one part of a long unit.
class Remover {
 public:
  Remover(const View& w, UnitAxis axis, const std::vector<std::int64_t>& kept, const View& out)
      : shape_(unit_shape(w, axis.axis, axis.group_size)),
        grid_((shape_.outer == 1 ? grid_of_units : grid_of_stretches)(w, axis.axis, axis.group_size)),
        kept_(kept),
        out_(out.data),
        unit_bytes_(shape_.length * grid_.item_bytes) {}

  void run() const {
    const std::int64_t part = std::min(shape_.length, kTileItems), parts = ceil_div(shape_.length, part);
    const std::int64_t units_each = std::min(shape_.units, kTileItems / part);
    const std::int64_t rows_each = std::min(shape_.outer, kTileItems / (units_each * part));
    const std::int64_t across = ceil_div(shape_.units, units_each) * parts, tiles = ceil_div(shape_.outer, rows_each) * across;
    const std::int64_t tile_bytes = rows_each * units_each * part * grid_.item_bytes;
    const std::int64_t scratch_bytes =
        shape_.outer == 1 ? grid_.scratch_bytes(units_each, part) : grid_.scratch_bytes(rows_each, units_each * part);
    for_each_tile({tiles, tile_bytes, scratch_bytes}, [&](std::int64_t tile, std::byte* scratch) {
      const std::int64_t row = tile / across * rows_each, unit = tile % across / parts * units_each, col = tile % parts * part;
      copy_tile(row, std::min(rows_each, shape_.outer - row), unit, std::min(units_each, shape_.units - unit), col,
                std::min(part, shape_.length - col), scratch);
    });
  }

 private:
  void copy_tile(std::int64_t row, std::int64_t rows, std::int64_t unit, std::int64_t units, std::int64_t col, std::int64_t cols,
                 std::byte* scratch) const {
    const std::int64_t* begin = std::lower_bound(kept_.data(), kept_.data() + kept_.size(), unit);
    const std::int64_t* end = std::lower_bound(begin, kept_.data() + kept_.size(), unit + units);
    if (begin == end) return;
    const auto kept_count = static_cast<std::int64_t>(kept_.size());
    const std::int64_t bytes = cols * grid_.item_bytes;
    std::byte* to = out_ + (row * kept_count + (begin - kept_.data())) * unit_bytes_ + col * grid_.item_bytes;
    if (shape_.outer == 1) {
      const cpu::ConstRows w = grid_.read(unit, units, col, cols, scratch);
      return move_units({begin, end, w.data - unit * w.stride_bytes, w.stride_bytes, unit_bytes_}, bytes, to);
    }
    const cpu::ConstRows w = grid_.read(row, rows, unit * shape_.length + col, (units - 1) * shape_.length + cols, scratch);
    for (std::int64_t r = 0; r < rows; ++r, to += kept_count * unit_bytes_)
      move_units({begin, end, w.row<std::byte>(r) - unit * unit_bytes_, unit_bytes_, unit_bytes_}, bytes, to);
  }

  UnitShape shape_;
  Grid grid_;
  const std::vector<std::int64_t>& kept_;
  std::byte* out_;
  std::int64_t unit_bytes_;
};

// The scores as integers of the same order: both zeros are 0, NaN lies above all others.
std::vector<std::int64_t> keys_of(const View& scores) {
  const std::int64_t bytes = item_size(scores.dtype), infinity = float_format(scores.dtype).infinity_bits();
  const std::uint64_t sign = std::uint64_t{1} << (8 * bytes - 1);
  std::vector<std::int64_t> keys;
  for (std::int64_t i = 0; i < scores.shape[0]; ++i) {
    std::uint64_t bits = 0;  // little-endian, as every level is
    std::memcpy(&bits, scores.data + i * scores.stride_bytes[0], static_cast<std::size_t>(bytes));
    const auto magnitude = static_cast<std::int64_t>(bits & (sign - 1));
    keys.push_back(magnitude > infinity ? std::numeric_limits<std::int64_t>::max() : bits & sign ? -magnitude : magnitude);
  }
  return keys;
}

// How many of the units stay.
std::int64_t count_to_keep(std::int64_t units, double sparsity, std::int64_t multiple_of) {
  if (multiple_of < 1) throw ValueError("multiple_of must be at least 1, got " + std::to_string(multiple_of));
  const std::int64_t kept = units - count_to_prune(sparsity, units);
  if (kept == 0 && units > 0)
    throw ValueError("sparsity would remove all of " + std::to_string(units) + " units; at least one must stay: lower it");
  const std::int64_t beyond = kept % multiple_of;
  if (beyond == 0) return kept;
  return units - kept < multiple_of - beyond ? units : kept + (multiple_of - beyond);
}

void require_keep(const View& keep) {
  require_dtype(keep, {DType::kBool});
  if (keep.ndim != 1) throw ValueError(std::string(keep.name) + " must have one dimension, it has shape " + shape_text(keep));
}

void require_removable(const View& w, const View& keep, UnitAxis axis, std::int64_t kept_count, const View& out) {
  require_cpu("remove_units", w);
  const std::int64_t units = unit_shape(w, axis.axis, axis.group_size).units;
  if (units != keep.shape[0])
    throw ValueError(std::string(w.name) + " has " + std::to_string(units) + " units of " + std::to_string(axis.group_size) +
                     " along axis " + std::to_string(axis.axis) + ", but keep is for " + std::to_string(keep.shape[0]) +
                     "; check its axis and group_size");
  require_same_dtype(w, out);
  View wanted = w;
  wanted.shape[axis.axis] = kept_count * axis.group_size;
  if (!same_shape(wanted, out) || !out.is_contiguous())
    throw ValueError(std::string(out.name) + " has shape " + shape_text(out) + "; it must be dense, of shape " +
                     shape_text(wanted));
  require_same_device(w, out);
  require_no_overlap(w, out);
}

}  // namespace

void select_units(const View& scores, double sparsity, std::int64_t multiple_of, const View& keep) {
  require_floating(scores);
  require_cpu("select_units", scores);
  if (scores.ndim != 1)
    throw ValueError(std::string(scores.name) + " must have one dimension, a score for each unit; it has shape " +
                     shape_text(scores));
  require_keep(keep);
  require_same_shape(scores, keep);
  require_no_overlap(scores, keep);
  const std::int64_t units = scores.shape[0], removed = units - count_to_keep(units, sparsity, multiple_of);
  const std::vector<std::int64_t> keys = keys_of(scores);
  // A total order, so that which units are the lowest does not depend on how they are found.
  std::vector<std::int64_t> order(keys.size());
  std::iota(order.begin(), order.end(), 0);
  std::nth_element(order.begin(), order.begin() + removed, order.end(), [&](std::int64_t a, std::int64_t b) {
    const std::int64_t x = keys[static_cast<std::size_t>(a)], y = keys[static_cast<std::size_t>(b)];
    return x != y ? x < y : a < b;
  });
  for (std::int64_t i = 0; i < units; ++i)
    keep.data[order[static_cast<std::size_t>(i)] * keep.stride_bytes[0]] = std::byte{i >= removed};
}

void remove_units(std::span<const View> w, const View& keep, std::span<const UnitAxis> axes, std::span<const View> out) {
  require_keep(keep);
  const std::vector<std::int64_t> kept = kept_units(keep);
  for (std::size_t i = 0; i < w.size(); ++i) require_removable(w[i], keep, axes[i], static_cast<std::int64_t>(kept.size()), out[i]);
  for (std::size_t i = 0; i < w.size(); ++i)
    if (out[i].size()) Remover(w[i], axes[i], kept, out[i]).run();
}

}  // namespace tersor
