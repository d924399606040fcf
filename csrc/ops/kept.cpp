#include "ops/kept.h"

#include <cstring>

#include "cpu/bitmask.h"
#include "ops/check_views.h"
#include "ops/loop.h"

namespace tersor {

Columns kept_columns(const View& out) noexcept { return out.dtype == DType::kUInt8 ? Columns::kBits : Columns::kEach; }

void require_kept_output(const char* name, const View& w, const View& out) {
  require_floating(w);
  require_cpu(name, w);
  require_dtype(out, {w.dtype, DType::kBool, DType::kUInt8});
  if (out.dtype == DType::kUInt8)
    require_packed_shape(w, out, Columns::kBits, w);
  else
    require_same_shape(w, out);
  require_same_device(w, out);
  require_no_overlap(w, out, out.dtype == w.dtype ? InPlace::kAllowed : InPlace::kNo);
}

KeptWriter::KeptWriter(const View& w, const View& out)
    : apply_(cpu::prune_kernels().apply_mask_packed[w.dtype]),
      is_mask_(out.dtype == DType::kBool),
      columns_(kept_columns(out)),
      out_item_bytes_(item_size(out.dtype)),
      store_(store_for(w, out)) {}

void KeptWriter::write(const std::uint8_t* bits, const std::byte* w, std::byte* out, std::int64_t cols) const {
  auto* const from = reinterpret_cast<const std::byte*>(bits);
  if (columns_ == Columns::kBits)
    std::memcpy(out, bits, static_cast<std::size_t>(items_for(Columns::kBits, cols)));
  else if (is_mask_)
    cpu::bitmask_kernels().unpack_mask({from, 0}, {out, 0}, {1, cols}, store_);
  else
    apply_({w, 0}, {from, 0}, {out, 0}, {1, cols}, store_);
}

}  // namespace tersor
