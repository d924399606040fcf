#pragma once

#include <cstdint>

namespace tersor {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) noexcept { return (a + b - 1) / b; }

}  // namespace tersor
