#pragma once
// Matrices of numbers as rows of ggml's blocks, and back: python/tersor/reference/formats_gguf.py has what the types are.

#include <string_view>

#include "core/view.h"

namespace tersor {

// kind: "q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q4_k", "q5_k", "q6_k".
void encode_gguf(const View& w, std::string_view kind, const View& data);
void decode_gguf(const View& data, std::string_view kind, const View& out);

}  // namespace tersor
