#pragma once
// compress: arrays without their zeros. The layouts stand in python/tersor/reference/compress.py.

#include "core/view.h"
#include "ops/bitmask_views.h"

namespace tersor {

// Fills bits, row offsets and the beginning of values, whose length is the room that there is; returns how many values there are.
std::int64_t compress_bitmask(const View& w, const BitmaskViews& t);

void decompress_bitmask(const BitmaskViews& t, const View& out);

// The column of each value, int32 or int64.
void find_columns(const BitmaskViews& t, const View& columns);

// The bits and row offsets of compressed rows, without their zeros. Columns ascend within each row; row_pointers, one more than
// rows, say where each row's begin. t.values are those of all columns.
void mark_columns(const View& columns, const View& row_pointers, const BitmaskViews& t);

}  // namespace tersor
