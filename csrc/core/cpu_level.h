#pragma once
// CPU levels: which compiled copy of the kernels runs. Every level gives the same bits; higher ones are faster.

#include <string_view>
#include <vector>

namespace tersor {

#if defined(__aarch64__)
enum class CpuLevel { kNeon };
inline constexpr int kCpuLevelCount = 1;
#else
enum class CpuLevel { kBaseline, kAvx2, kAvx512 };
inline constexpr int kCpuLevelCount = 3;
#endif

const char* name_of(CpuLevel level) noexcept;

// The level in use: the best one that this CPU runs, or TERSOR_CPU_LEVEL. Throws ValueError if that names none, or one too high.
CpuLevel cpu_level();
void set_cpu_level(std::string_view name);

// Lowest first.
std::vector<CpuLevel> supported_cpu_levels();

}  // namespace tersor
