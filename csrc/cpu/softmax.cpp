// softmax: a row is read from memory once. Block by block its maximum is found and its exponentials are kept in scratch, each block
// relative to its own maximum; when all are known, a factor per block brings them to the row's scale. Where the exponents are
// integers, which is nearly always, these factors are powers of two and round nothing.
//
// Sums lose next to nothing: see PowerSum for a block; blocks are added in float64, in two parts.
// Temperatures of 0 and inf, and those too far out for the exponentials, are limits of their own.

#include "cpu/softmax_block.h"

namespace tersor::cpu::TERSOR_LEVEL {

namespace {

// --- the limits of the temperature -------------------------------------------------------------------------------------------

// Each column that `counts` says yes to gets an even share. A row with NaN, or with nothing to share among, is NaN.
template <class Storage, class Counts>
[[gnu::noinline]] void share_evenly(Row<Storage> row, bool is_nan, Counts counts) noexcept {
  using Math = typename Storage::Math;
  const auto one = splat(Math{1}), zero = splat(Math{0});
  double count = 0;
  for (std::int64_t begin = 0; begin < row.cols; begin += kSoftmaxBlock) {
    const std::int64_t end = begin + kSoftmaxBlock < row.cols ? begin + kSoftmaxBlock : row.cols;
    Lanes<Math> found = zero;
    each_lanes(begin, end, [&](int, std::int64_t i, auto lanes) TERSOR_LAMBDA {
      const Lanes<Math> value = row.at(i, lanes);
      found = found + fill_absent(select(counts(value), one, zero), lanes, Math{0});
    });
    count += static_cast<double>(reduce_sum(found));
  }
  const auto part = splat(is_nan || count == 0 ? static_cast<Math>(__builtin_nan("")) : static_cast<Math>(1 / count));
  map_cached(row.out, 0, row.cols, [=](std::int64_t i, auto lanes) TERSOR_LAMBDA {
    return Storage::narrow(select(counts(row.at(i, lanes)), part, part * zero));
  });
}

template <class Storage>
[[gnu::noinline]] void softmax_row_limit(Row<Storage> row, SoftmaxLimit limit, double temperature) noexcept {
  using Math = typename Storage::Math;
  const auto lowest = splat(-static_cast<Math>(kInfinite));
  const Math top = top_of(row, 0, row.cols);
  auto nan = equal(lowest, splat(Math{0}));
  each_lanes(0, row.cols, [&](int, std::int64_t i, auto lanes) TERSOR_LAMBDA {
    const Lanes<Math> value = row.at(i, lanes);
    nan = nan | not_equal(value, value);
  });
  // +inf has a share at T = 0 alone: at any other temperature it is inf / inf.
  const bool infinite = top == -static_cast<Math>(kInfinite) || (temperature > 0 && top == static_cast<Math>(kInfinite));
  const bool is_nan = bits_of(nan) != 0 || infinite;
  if (limit == SoftmaxLimit::kOneHot)
    share_evenly(row, is_nan, [=](auto value) TERSOR_LAMBDA { return equal(value, splat(top)); });
  else
    share_evenly(row, is_nan, [=](auto value) TERSOR_LAMBDA { return greater(value, lowest); });
}

// --- a row -------------------------------------------------------------------------------------------------------------------

// One loop that writes a whole block of one row and measures that of the next, whose terms take the place of those written. The
// output runs `head` columns ahead, where its streaming stores are aligned. Lines are asked for two blocks before they are needed
// (one or four: 1.2 to 1.8 times the time).
template <bool kStreams, class Storage>
[[gnu::noinline]] Sum exchange_terms(typename Storage::Bits* out, std::int64_t head, const Factor factor,
                                     const typename Storage::Bits* x, const Rate<typename Storage::Math> rate,
                                     const Exp2Frame<typename Storage::Math> frame, typename Storage::Math* kept) noexcept {
  const Share<typename Storage::Math> share(factor);
  const typename Terms<Storage>::Maker exp2(rate, frame);
  const auto bits_from = [=](std::int64_t i, auto) TERSOR_LAMBDA { return Storage::narrow_number(share.near(load(kept + i))); };
  constexpr int kLine = kLineLanes<typename Storage::Bits>;
  const auto line_from = [=](std::int64_t i) TERSOR_LAMBDA {
    if constexpr (kLine == kLanes)
      return bits_from(i, Full{});
    else
      return Storage::narrow_numbers(share.near(load(kept + i)), share.near(load(kept + i + kLanes)));
  };
  typename Terms<Storage>::Adder sums[kUnroll];
  map_few(out, 0, head, bits_from);
  for (std::int64_t i = 0; i < kSoftmaxBlock; i += kUnroll * kLanes)
    for (int k = 0; k < kUnroll; k += kLine / kLanes) {
      const std::int64_t j = i + k * kLanes;
      if constexpr (!kStreams)
        store(out + j, line_from(j));
      else if (head == 0 || j + kLine < kSoftmaxBlock)
        stream(out + head + j, line_from(head + j));
      else
        map_few(out, head + j, kSoftmaxBlock, bits_from);
      for (int part = 0; part < kLine / kLanes; ++part) {
        const std::int64_t here = j + part * kLanes;
        prefetch(x + here + 2 * kSoftmaxBlock);
        store(kept + here, sums[k + part].add(exp2.template operator()<true>(Storage::widen(load(x + here)))));
      }
    }
  return sum_of(sums);
}

// Rows of one whole block or several. Block by block, one row is written while the next is measured: reading, computing and writing
// overlap, and the terms of the next row go where those just written lay, in the first-level cache. (Stored into a row-long buffer
// in L2 instead, every store waits behind the reads from memory: measured 0.69 ns a column against 0.37.)
template <class Storage>
class LongRows {
 public:
  using Math = typename Storage::Math;
  TERSOR_INLINE LongRows(std::byte* scratch, std::int64_t cols, Store mode) noexcept
      : kept_(reinterpret_cast<Math*>(scratch)), count_(softmax_blocks(cols)), mode_(mode) {
    blocks_ = reinterpret_cast<SoftmaxBlock*>(kept_ + count_ * kSoftmaxBlock);
  }

  TERSOR_INLINE void add(Row<Storage> row, const Rate<Math>& rate) noexcept {
    if (pending_)
      step(row_, rate_, &row, rate);
    else
      for (std::int64_t b = 0; b < count_; ++b) measure(row, rate, b);
    row_ = row;
    rate_ = rate;
    pending_ = true;
  }

  TERSOR_INLINE void finish() noexcept {
    if (pending_) step(row_, rate_, nullptr, rate_);
    pending_ = false;
  }

 private:
  TERSOR_INLINE void measure(Row<Storage> row, const Rate<Math>& rate, std::int64_t b) noexcept {
    const std::int64_t begin = b * kSoftmaxBlock;
    blocks_[b] = measure_block(row, begin, block_end(begin, row.cols), rate, kept_ + begin);
  }

  [[gnu::noinline]] void step(const Row<Storage> row, const Rate<Math> rate, const Row<Storage>* next,
                              const Rate<Math>& next_rate) noexcept {
    const SoftmaxBlock whole = join(blocks_, count_, rate);
    for (std::int64_t b = 0; b < count_; ++b) {
      const std::int64_t begin = b * kSoftmaxBlock, end = block_end(begin, row.cols);
      const Factor factor = share_of<Math>(factor_between(blocks_[b], whole, rate), whole);
      if (next && end - begin == kSoftmaxBlock && exchange(row, factor, *next, next_rate, b)) continue;
      write_block(row, begin, end, factor, mode_, kept_ + begin);
      if (next) measure(*next, next_rate, b);
    }
  }

  // False where the block or its successor is not of the common kind.
  TERSOR_INLINE bool exchange(Row<Storage> row, Factor factor, Row<Storage> next, const Rate<Math>& rate, std::int64_t b) noexcept {
    const std::int64_t begin = b * kSoftmaxBlock;
    auto* out = row.out + begin;
    const std::int64_t head = mode_ == Store::kStreaming ? items_to_line(out) : -1;
    if (factor.is_far || factor.high != factor.high) return false;
    const Math top = top_of(next, begin, begin + kSoftmaxBlock);
    const Exp2Frame<Math> frame = frame_for(top, rate);
    if (!frame.is_plain) return false;
    auto* kept = kept_ + begin;
    const Sum sum = head >= 0 ? exchange_terms<true, Storage>(out, head, factor, next.x + begin, rate, frame, kept)
                              : exchange_terms<false, Storage>(out, 0, factor, next.x + begin, rate, frame, kept);
    blocks_[b] = block_of(top, frame, sum);
    return true;
  }

  Math* kept_;
  SoftmaxBlock* blocks_;
  std::int64_t count_;
  Store mode_;
  Row<Storage> row_{};
  Rate<Math> rate_{};
  bool pending_ = false;
};

// Rows of less than a block, several at a time: each step is done for all of them, so that the latencies of one row's maximum, sum
// and division pass while the others are at work.
template <class Storage>
class ShortRows {
 public:
  using Math = typename Storage::Math;
  TERSOR_INLINE ShortRows(std::byte* scratch, std::int64_t cols, Store mode) noexcept
      : kept_(reinterpret_cast<Math*>(scratch)), kept_stride_((cols + kLanes - 1) / kLanes * kLanes), mode_(mode) {}

  // The rows of a batch have one rate.
  TERSOR_INLINE void add(Row<Storage> row, const Rate<Math>& rate) noexcept {
    rows_[count_] = row;
    if (++count_ == kSoftmaxBatch) finish(rate);
  }

  [[gnu::noinline]] void finish(const Rate<Math> rate) noexcept {
    Exp2Frame<Math> frames[kSoftmaxBatch];
    Factor factors[kSoftmaxBatch];
    bool all_plain = true;
    for (int r = 0; r < count_; ++r) {
      const Math top = top_of(rows_[r], 0, rows_[r].cols);
      frames[r] = frame_for(top, rate);
      all_plain &= frames[r].is_plain && top > -static_cast<Math>(kInfinite);
    }
    if (!all_plain) return finish_one_by_one(rate);
    for (int r = 0; r < count_; ++r) {
      const Sum sum = keep_terms<true, Terms<Storage>>(rows_[r], 0, rows_[r].cols, rate, frames[r], kept(r));
      factors[r] = share_of<Math>({1, 0, false}, {0, 0, sum.high, sum.low});
    }
    for (int r = 0; r < count_; ++r) {
      if (factors[r].high == factors[r].high)
        write_near(rows_[r], 0, rows_[r].cols, factors[r], mode_, kept(r));
      else
        write_block(rows_[r], 0, rows_[r].cols, factors[r], mode_, kept(r));
    }
    count_ = 0;
  }

 private:
  [[gnu::noinline]] void finish_one_by_one(const Rate<Math>& rate) noexcept {
    for (int r = 0; r < count_; ++r) {
      const SoftmaxBlock block = measure_block(rows_[r], 0, rows_[r].cols, rate, kept(r));
      write_block(rows_[r], 0, rows_[r].cols, share_of<Math>({1, 0, false}, join(&block, 1, rate)), mode_, kept(r));
    }
    count_ = 0;
  }

  TERSOR_INLINE Math* kept(int r) const noexcept { return kept_ + r * kept_stride_; }

  Row<Storage> rows_[kSoftmaxBatch];
  int count_ = 0;
  Math* kept_;
  std::int64_t kept_stride_;
  Store mode_;
};

template <class Storage>
void softmax(ConstRows x, ConstRows temperature, Rows out, Extent extent, std::byte* scratch, Store mode) noexcept {
  using Bits = typename Storage::Bits;
  using Math = typename Storage::Math;
  double known = -1;
  Rate<Math> rate{};
  ShortRows<Storage> short_rows(scratch, extent.cols, mode);
  LongRows<Storage> long_rows(scratch, extent.cols, mode);
  for (std::int64_t r = 0; r < extent.rows; ++r) {
    double t;
    std::memcpy(&t, temperature.row<std::byte>(r), sizeof t);
    const Row<Storage> row{x.row<Bits>(r), out.row<Bits>(r), extent.cols};
    // A single column is 1, exactly, whatever its temperature.
    const SoftmaxLimit limit = extent.cols == 1 && t > 0 ? SoftmaxLimit::kUniform : softmax_limit(Storage::kDType, t);
    if (limit != SoftmaxLimit::kNone) {
      softmax_row_limit(row, limit, t);
      continue;
    }
    if (t != known) {
      short_rows.finish(rate);
      rate = rate_for<Math>(known = t);
    }
    if (extent.cols < kSoftmaxBlock)
      short_rows.add(row, rate);
    else
      long_rows.add(row, rate);
  }
  short_rows.finish(rate);
  long_rows.finish();
}

// --- rows in pieces ------------------------------------------------------------------------------------------------------------

template <class Storage>
void measure_piece(const std::byte* x, double temperature, std::int64_t cols, SoftmaxBlock* blocks) noexcept {
  const Row<Storage> row{reinterpret_cast<const typename Storage::Bits*>(x), nullptr, cols};
  const auto rate = rate_for<typename Storage::Math>(temperature);
  alignas(64) typename Storage::Math kept[kSoftmaxBlock];
  for (std::int64_t begin = 0; begin < cols; begin += kSoftmaxBlock)
    *blocks++ = measure_block(row, begin, block_end(begin, cols), rate, kept);
}

template <class Storage>
SoftmaxBlock join_blocks(const SoftmaxBlock* blocks, std::int64_t count, double temperature) noexcept {
  return join(blocks, count, rate_for<typename Storage::Math>(temperature));
}

template <class Storage>
void write_piece(const std::byte* x, double temperature, SoftmaxBlock whole, std::byte* out, std::int64_t cols,
                 Store mode) noexcept {
  using Bits = typename Storage::Bits;
  using Math = typename Storage::Math;
  const Row<Storage> row{reinterpret_cast<const Bits*>(x), reinterpret_cast<Bits*>(out), cols};
  const auto rate = rate_for<Math>(temperature);
  alignas(64) Math kept[kSoftmaxBlock];
  for (std::int64_t begin = 0; begin < cols; begin += kSoftmaxBlock) {
    const std::int64_t end = block_end(begin, cols);
    const SoftmaxBlock block = measure_block(row, begin, end, rate, kept);
    write_block(row, begin, end, share_of<Math>(factor_between(block, whole, rate), whole), mode, kept);
  }
}

}  // namespace

constinit const SoftmaxKernels softmax_kernels{
    .softmax = TERSOR_BY_FLOAT(softmax),
    .measure_piece = TERSOR_BY_FLOAT(measure_piece),
    .join_blocks = TERSOR_BY_FLOAT(join_blocks),
    .write_piece = TERSOR_BY_FLOAT(write_piece),
};

}  // namespace tersor::cpu::TERSOR_LEVEL
