#include "ops/quantize_codes.h"
#include "cpu/pack.h"
#include "cpu/random.h"

#include "ops/loop.h"

namespace tersor {

GroupNumbers::GroupNumbers(std::byte* at, std::int64_t count, std::int64_t math_bytes) noexcept {
  const std::int64_t each = padded(count) * math_bytes;
  lows = at, highs = at + each, scales = at + 2 * each, zero_points = at + 3 * each;
}

GroupNumbers GroupNumbers::from(std::int64_t first, std::int64_t math_bytes) const noexcept {
  GroupNumbers later = *this;
  for (std::byte** array : {&later.lows, &later.highs, &later.scales, &later.zero_points}) *array += first * math_bytes;
  return later;
}

// --- scales ----------------------------------------------------------------------------------------------------------------

DenseArray::DenseArray(const View& view, Access access) : grid_(grid_of(view, 0)), all_{0, 1, 0, view.size()} {
  if (view.size() > 0 && !grid_.is_dense()) copy_.emplace(static_cast<std::size_t>(grid_.scratch_bytes(1, view.size())));
  std::byte* const scratch = copy_ ? copy_->data() : nullptr;
  rows_ = grid_.place(all_, scratch);
  if (copy_ && access == Access::kRead) grid_.read(all_.row, all_.rows, all_.col, all_.cols, scratch);
}

void DenseArray::write_back() const {
  if (copy_) grid_.write(all_, copy_->data());
}

StoredScales::StoredScales(DType math, const View& scale, const View* zero_point, CodeFormat format, Access access)
    : kernels_(cpu::quantize_groups_kernels().of(math)), dtype_(scale.dtype), scale_(scale, access), format_(format) {
  if (zero_point) zero_point_.emplace(*zero_point, access);
}

std::uint8_t* StoredScales::zero_point_at(std::int64_t first) const noexcept {
  return zero_point_ ? reinterpret_cast<std::uint8_t*>(zero_point_->data()) + first : nullptr;
}

void StoredScales::make(const GroupNumbers& numbers, std::int64_t first, std::int64_t count,
                        const cpu::ScaleRule& rule) const noexcept {
  kernels_.make_scales[dtype_](numbers.lows, numbers.highs, count, rule, scale_at(first), zero_point_at(first), numbers.scales,
                               numbers.zero_points);
}

void StoredScales::load(const GroupNumbers& numbers, std::int64_t first, std::int64_t count) const noexcept {
  kernels_.load_scales[dtype_](scale_at(first), zero_point_at(first), count, flip_of(format_), middle_of(format_), numbers.scales,
                               numbers.zero_points);
}

void StoredScales::write_back() const {
  scale_.write_back();
  if (zero_point_) zero_point_->write_back();
}

// --- codes -----------------------------------------------------------------------------------------------------------------

Rectangle CodeGrid::bytes_of(const Tile& tile) const noexcept {
  if (!packed_bits) return {tile.row, tile.rows, tile.col, tile.cols};
  return {tile.row, tile.rows, tile.col * packed_bits / 8, ceil_div(tile.cols * packed_bits, 8)};
}

// Of a rectangle, and of a row of codes before they are packed.
std::int64_t CodeGrid::scratch_bytes(std::int64_t rows, std::int64_t cols) const noexcept {
  return grid.scratch_bytes(rows, cols) + (packed_bits ? padded(cols) : 0);
}

Encoder::Encoder(const View& w, const GroupLayout& layout, const CodeOptions& options, const View& q, const Grid& q_grid) noexcept
    : layout_(layout),
      kernels_(cpu::quantize_groups_kernels()),
      dtype_(w.dtype),
      rule_(code_rule(options.convention, options.format, options.rounding, w.dtype)),
      seed_(options.seed),
      codes_{q_grid, options.packed ? options.format.bits : 0},
      store_(options.packed || !q_grid.is_dense() ? Store::kCached : store_for(w, q)) {}

std::int64_t Encoder::scratch_bytes(std::int64_t rows, std::int64_t cols) const noexcept {
  return codes_.scratch_bytes(rows, cols) + (is_random() ? 4 * padded(cols) : 0);
}

void Encoder::encode(const Tile& tile, cpu::ConstRows from, const GroupNumbers& numbers, std::byte* scratch,
                     bool fetches_next) const {
  const Rectangle bytes = codes_.bytes_of(tile);
  std::byte* const unpacked = scratch + codes_.grid.scratch_bytes(bytes.rows, bytes.cols);
  std::byte* const words = unpacked + (codes_.packed_bits ? padded(tile.cols) : 0);
  const cpu::Rows place = codes_.grid.place(bytes, scratch);
  auto* const random = is_random() ? reinterpret_cast<std::uint32_t*>(words) : nullptr;
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    auto* const to = place.row<std::uint8_t>(r);
    auto* const codes = codes_.packed_bits ? reinterpret_cast<std::uint8_t*>(unpacked) : to;
    if (random) cpu::random_kernels().words((tile.row + r) * layout_.cols() + tile.col, tile.cols, seed_, 0, random);
    const auto* const row = from.row<std::byte>(r);
    encode_row(row, tile.cols, numbers, random, codes, fetches_next ? row + tile.cols * item_size(dtype_) : nullptr);
    if (codes_.packed_bits) cpu::pack_kernels().pack_bits(codes, tile.cols, codes_.packed_bits, 0, to);
  }
  codes_.grid.write(bytes, scratch);
}

void Encoder::encode_row(const std::byte* from, std::int64_t cols, const GroupNumbers& numbers, const std::uint32_t* random,
                         std::uint8_t* q, const std::byte* next) const noexcept {
  if (layout_.along_rows)
    kernels_.encode_groups[dtype_](from, cols, layout_.size, numbers.scales, numbers.zero_points, rule_, random, q, store_, next);
  else
    kernels_.encode_columns[dtype_](from, cols, numbers.scales, numbers.zero_points, rule_, random, q, store_);
}

Decoder::Decoder(const GroupLayout& layout, DType math, CodeFormat format, bool packed, const Grid& q, const Grid& out, DType dtype,
                 Store store) noexcept
    : layout_(layout),
      kernels_(cpu::quantize_groups_kernels().of(math)),
      format_(format),
      codes_{q, packed ? format.bits : 0},
      out_(out),
      dtype_(dtype),
      store_(out.is_dense() ? store : Store::kCached) {}

std::int64_t Decoder::scratch_bytes(std::int64_t rows, std::int64_t cols) const noexcept {
  return codes_.scratch_bytes(rows, cols) + out_.scratch_bytes(rows, cols);
}

void Decoder::decode(const Tile& tile, const GroupNumbers& numbers, std::byte* scratch) const {
  const Rectangle bytes = codes_.bytes_of(tile), part{tile.row, tile.rows, tile.col, tile.cols};
  std::byte* const unpacked = scratch + codes_.grid.scratch_bytes(bytes.rows, bytes.cols);
  std::byte* const rectangle = unpacked + (codes_.packed_bits ? padded(tile.cols) : 0);
  const cpu::ConstRows from = codes_.grid.read(bytes.row, bytes.rows, bytes.col, bytes.cols, scratch);
  const cpu::Rows place = out_.place(part, rectangle);
  const int flip = flip_of(format_);
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const auto* codes = from.row<std::uint8_t>(r);
    if (codes_.packed_bits) {
      cpu::pack_kernels().unpack_bits(codes, tile.cols, format_.bits, format_.is_signed, reinterpret_cast<std::uint8_t*>(unpacked));
      codes = reinterpret_cast<const std::uint8_t*>(unpacked);
    }
    auto* const to = place.row<std::byte>(r);
    if (layout_.along_rows)
      kernels_.decode_groups[dtype_](codes, tile.cols, layout_.size, flip, numbers.scales, numbers.zero_points, to, store_);
    else
      kernels_.decode_columns[dtype_](codes, tile.cols, flip, numbers.scales, numbers.zero_points, to, store_);
  }
  out_.write(part, rectangle);
}

}  // namespace tersor
