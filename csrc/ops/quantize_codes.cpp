#include "ops/quantize_codes.h"

#include "cpu/formats_float.h"
#include "cpu/pack.h"
#include "cpu/quantize_fake.h"
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
    : math_(math), dtype_(scale.dtype), scale_(scale, access), format_(format) {
  if (zero_point) zero_point_.emplace(*zero_point, access);
}

std::uint8_t* StoredScales::zero_point_at(std::int64_t first) const noexcept {
  return zero_point_ ? reinterpret_cast<std::uint8_t*>(zero_point_->data()) + first : nullptr;
}

void StoredScales::make(const GroupNumbers& numbers, std::int64_t first, std::int64_t count,
                        const cpu::ScaleRule& rule) const noexcept {
  cpu::quantize_groups_kernels().of(math_).make_scales[dtype_](numbers.lows, numbers.highs, count, rule, scale_at(first),
                                                               zero_point_at(first), numbers.scales, numbers.zero_points);
}

void StoredScales::load(const GroupNumbers& numbers, std::int64_t first, std::int64_t count) const noexcept {
  load_as(math_, numbers, first, count);
}

void StoredScales::load_as(DType math, const GroupNumbers& numbers, std::int64_t first, std::int64_t count) const noexcept {
  cpu::quantize_groups_kernels().of(math).load_scales[dtype_](scale_at(first), zero_point_at(first), count, flip_of(format_),
                                                              middle_of(format_), numbers.scales, numbers.zero_points);
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

cpu::ConstRows CodeGrid::read_stored(const Tile& tile, std::byte* scratch) const {
  const Rectangle bytes = bytes_of(tile);
  return grid.read(bytes.row, bytes.rows, bytes.col, bytes.cols, scratch);
}

std::byte* CodeGrid::beside_stored(const Tile& tile, std::byte* scratch) const noexcept {
  const Rectangle bytes = bytes_of(tile);
  return scratch + grid.scratch_bytes(bytes.rows, bytes.cols);
}

cpu::ConstRows CodeGrid::read(const Tile& tile, CodeFormat format, std::byte* scratch) const {
  const cpu::ConstRows from = read_stored(tile, scratch);
  if (!packed_bits) return from;
  std::byte* const codes = beside_stored(tile, scratch);
  cpu::pack_kernels().unpack_bits(from.row<std::uint8_t>(0), tile.cols, packed_bits, 0, format.is_signed,
                                  reinterpret_cast<std::uint8_t*>(codes), Store::kCached);
  return {codes, 0};
}

Decoder::Decoder(const GroupLayout& layout, DType math, CodeFormat format, DType dtype, Store store) noexcept
    : layout_(layout),
      kernels_(cpu::quantize_groups_kernels().of(math)),
      format_(format),
      math_(math),
      dtype_(dtype),
      store_(store) {}

void Decoder::decode_row(const std::uint8_t* codes, std::int64_t cols, const GroupNumbers& numbers, std::byte* to) const noexcept {
  const int flip = flip_of(format_);
  if (layout_.along_rows)
    kernels_.decode_groups[dtype_](codes, cols, layout_.size, flip, numbers.scales, numbers.zero_points, to, store_);
  else
    kernels_.decode_columns[dtype_](codes, cols, flip, numbers.scales, numbers.zero_points, to, store_);
}

namespace {

// The numbers of the 16 codes from `first` on, which code 0 has; those of signed codes in two's complement.
constexpr cpu::CodeTable table_of_integers(int first, bool is_signed) noexcept {
  cpu::CodeTable table{};
  for (int code = 0; code < cpu::kTableCodes / 2; ++code) {
    table.low[code] = static_cast<float>(first + code);
    table.high[code] = static_cast<float>(first + code + (is_signed ? -8 : 8));
  }
  return table;
}

constexpr cpu::CodeTable kSignedNibbles = table_of_integers(0, true), kUnsignedNibbles = table_of_integers(0, false),
                         kCentredNibbles = table_of_integers(-8, false);

constexpr std::int64_t kLeastNibbleRun = 32, kEndlessRun = std::int64_t{1} << 62;

}  // namespace

bool Decoder::decodes_nibbles(std::int64_t cols) const noexcept {
  const bool is_power = (layout_.size & (layout_.size - 1)) == 0 && layout_.size >= kLeastNibbleRun;
  return format_.bits == 4 && layout_.along_rows && math_ == DType::kFloat32 && (is_power || layout_.size >= cols);
}

void Decoder::decode_packed_row(const std::uint8_t* packed, std::int64_t cols, const GroupNumbers& numbers, std::byte* to,
                                std::byte* scratch) const noexcept {
  if (!decodes_nibbles(cols)) {
    auto* const codes = reinterpret_cast<std::uint8_t*>(scratch);
    cpu::pack_kernels().unpack_bits(packed, cols, format_.bits, 0, format_.is_signed, codes, Store::kCached);
    return decode_row(codes, cols, numbers, to);
  }
  const auto* const scales = reinterpret_cast<const float*>(numbers.scales);
  const auto* const zero_points = format_.symmetric ? nullptr : reinterpret_cast<const float*>(numbers.zero_points);
  const cpu::CodeTable& table = format_.is_signed ? kSignedNibbles : format_.symmetric ? kCentredNibbles : kUnsignedNibbles;
  const std::int64_t run = layout_.size >= cols ? kEndlessRun : layout_.size;
  cpu::formats_float_kernels().decode[dtype_](packed, cols, run, scales, {.less = zero_points}, table, to, store_);
}

void Decoder::decode(const CodeGrid& codes, const Tile& tile, const GroupNumbers& numbers, cpu::Rows to, std::byte* scratch) const {
  const cpu::ConstRows from = codes.read_stored(tile, scratch);
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const auto* const row = from.row<std::uint8_t>(r);
    if (codes.packed_bits)
      decode_packed_row(row, tile.cols, numbers, to.row<std::byte>(r), codes.beside_stored(tile, scratch));
    else
      decode_row(row, tile.cols, numbers, to.row<std::byte>(r));
  }
}

Encoder::Encoder(const View& w, const GroupLayout& layout, const CodeOptions& options, const StoredScales& scales, const View& q,
                 const Grid& q_grid, DType stored_math) noexcept
    : layout_(layout),
      kernels_(cpu::quantize_groups_kernels()),
      dtype_(w.dtype),
      stored_math_(stored_math),
      rule_(code_rule(options.convention, options.format, options.rounding, w.dtype)),
      seed_(options.seed),
      scales_(scales),
      codes_{q_grid, options.packed ? options.format.bits : 0},
      store_(options.packed || !q_grid.is_dense() ? Store::kCached : store_for(w, q)),
      packed_store_(options.packed && q_grid.is_dense() ? store_for(w, q) : Store::kCached) {
  if (!options.as_numbers) return;
  decoder_.emplace(layout, stored_math, options.format, q.dtype, store_);
  store_ = Store::kCached;
}

std::int64_t Encoder::scratch_bytes(std::int64_t rows, std::int64_t cols) const noexcept {
  const bool has_other_numbers = decoder_ && stored_math_ != arithmetic_dtype(dtype_);
  return codes_.grid.scratch_bytes(rows, cols) + row_bytes(cols) + word_bytes(cols) +
         (has_other_numbers ? GroupNumbers::bytes(cols, item_size(stored_math_)) : 0);
}

// The scales and zero points that codes are decoded with.
GroupNumbers Encoder::decoding(const Tile& tile, const GroupNumbers& numbers, std::byte* scratch) const noexcept {
  if (!decoder_ || stored_math_ == arithmetic_dtype(dtype_)) return numbers;
  const GroupNumbers others(scratch, tile.scales, item_size(stored_math_));
  scales_.load_as(stored_math_, others, tile.first_scale, tile.scales);
  return others;
}

void Encoder::encode(const Tile& tile, cpu::ConstRows from, const GroupNumbers& numbers, std::byte* scratch,
                     bool fetches_next) const {
  const Rectangle bytes = codes_.bytes_of(tile);
  std::byte* const beside = scratch + codes_.grid.scratch_bytes(bytes.rows, bytes.cols);
  std::byte* const words = beside + row_bytes(tile.cols);
  const cpu::Rows place = codes_.grid.place(bytes, scratch);
  const GroupNumbers stored = decoding(tile, numbers, words + word_bytes(tile.cols));
  auto* const random = is_random() ? reinterpret_cast<std::uint32_t*>(words) : nullptr;
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    const auto* const row = from.row<std::byte>(r);
    const auto* const next = fetches_next ? row + tile.cols * item_size(dtype_) : nullptr;
    if (is_fused()) {
      fake_row(row, tile.cols, numbers, place.row<std::byte>(r), next);
      continue;
    }
    auto* const to = place.row<std::uint8_t>(r);
    auto* const codes = has_codes_beside() ? reinterpret_cast<std::uint8_t*>(beside) : to;
    if (random) cpu::random_kernels().words((tile.row + r) * layout_.cols() + tile.col, tile.cols, seed_, 0, random);
    encode_row(row, tile.cols, numbers, random, codes, next);
    if (codes_.packed_bits) cpu::pack_kernels().pack_bits(codes, tile.cols, codes_.packed_bits, 0, 0, to, packed_store_);
    if (decoder_) decoder_->decode_row(codes, tile.cols, stored, place.row<std::byte>(r));
  }
  codes_.grid.write(bytes, scratch);
}

void Encoder::fake_row(const std::byte* from, std::int64_t cols, const GroupNumbers& numbers, std::byte* to,
                       const std::byte* next) const noexcept {
  cpu::quantize_fake_kernels().fake_groups[dtype_](from, cols, layout_.size, numbers.scales, numbers.zero_points, rule_, to,
                                                   decoder_->store(), next);
}

void Encoder::encode_row(const std::byte* from, std::int64_t cols, const GroupNumbers& numbers, const std::uint32_t* random,
                         std::uint8_t* q, const std::byte* next) const noexcept {
  if (layout_.along_rows)
    kernels_.encode_groups[dtype_](from, cols, layout_.size, numbers.scales, numbers.zero_points, rule_, random, q, store_, next);
  else
    kernels_.encode_columns[dtype_](from, cols, numbers.scales, numbers.zero_points, rule_, random, q, store_);
}

}  // namespace tersor
