#include "core/cpu_level.h"

#include <atomic>
#include <cstdlib>
#include <string>

#include "core/check.h"

namespace tersor {

namespace {

bool supports(CpuLevel level) noexcept {
#if defined(__aarch64__)
  return level == CpuLevel::kNeon;
#else
  __builtin_cpu_init();
  // The feature lists are those of cmake/CpuLevels.cmake: what the compiler was allowed to use must be there.
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
                    __builtin_cpu_supports("f16c") && __builtin_cpu_supports("bmi");
  const bool avx512 =
      avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
      __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bitalg");
  switch (level) {
    case CpuLevel::kBaseline: return true;
    case CpuLevel::kAvx2: return avx2;
    case CpuLevel::kAvx512: return avx512;
  }
  return false;
#endif
}

CpuLevel level_named(std::string_view name) {
  std::string supported;
  for (const CpuLevel level : supported_cpu_levels()) {
    if (name == name_of(level)) return level;
    supported += supported.empty() ? "" : ", ";
    supported += name_of(level);
  }
  throw ValueError("CPU level '" + std::string(name) + "' is not one that this machine runs; choose one of: " + supported);
}

CpuLevel initial_level() {
  if (const char* forced = std::getenv("TERSOR_CPU_LEVEL"); forced && *forced) return level_named(forced);
  return supported_cpu_levels().back();
}

std::atomic<CpuLevel>& active_level() {
  static std::atomic<CpuLevel> level{initial_level()};
  return level;
}

}  // namespace

const char* name_of(CpuLevel level) noexcept {
  switch (level) {
#if defined(__aarch64__)
    case CpuLevel::kNeon: return "neon";
#else
    case CpuLevel::kBaseline: return "baseline";
    case CpuLevel::kAvx2: return "avx2";
    case CpuLevel::kAvx512: return "avx512";
#endif
  }
  return "unknown";
}

std::vector<CpuLevel> supported_cpu_levels() {
  std::vector<CpuLevel> levels;
  for (int i = 0; i < kCpuLevelCount; ++i)
    if (supports(static_cast<CpuLevel>(i))) levels.push_back(static_cast<CpuLevel>(i));
  return levels;
}

CpuLevel cpu_level() { return active_level().load(std::memory_order_relaxed); }

void set_cpu_level(std::string_view name) { active_level().store(level_named(name), std::memory_order_relaxed); }

}  // namespace tersor
