#include "core/thread_count.h"

#include <sched.h>

#include <algorithm>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace tersor {

namespace {

int affinity_count() noexcept {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

int rounded_up(long long quota, long long period) noexcept {
  if (quota <= 0 || period <= 0) return INT_MAX;
  return static_cast<int>(std::min<long long>(INT_MAX, (quota + period - 1) / period));
}

// The quota of the process's own cgroup as a container sees it: version 2, then version 1. No file, or "max", is no quota.
int quota_count() noexcept {
  long long quota = -1, period = -1;
  if (std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    const int fields = std::fscanf(file, "%lld %lld", &quota, &period);
    std::fclose(file);
    return fields == 2 ? rounded_up(quota, period) : INT_MAX;
  }
  if (std::FILE* file = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r")) {
    if (std::fscanf(file, "%lld", &quota) != 1) quota = -1;
    std::fclose(file);
  }
  if (std::FILE* file = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r")) {
    if (std::fscanf(file, "%lld", &period) != 1) period = -1;
    std::fclose(file);
  }
  return rounded_up(quota, period);
}

int variable_count(const char* name) noexcept {
  const char* text = std::getenv(name);
  if (!text) return 0;
  const long value = std::strtol(text, nullptr, 10);  // OMP_NUM_THREADS may be a list: its first number counts
  return value > 0 && value < INT_MAX ? static_cast<int>(value) : 0;
}

}  // namespace

int default_thread_count() noexcept {
  int count = std::min(affinity_count(), quota_count());
  const int own = variable_count("TERSOR_NUM_THREADS");
  // TERSOR_NUM_THREADS is an order, and may exceed the cores; OMP_NUM_THREADS is everybody's hint, and only lowers.
  if (own > 0) return own;
  if (const int shared = variable_count("OMP_NUM_THREADS"); shared > 0) count = std::min(count, shared);
  return count;
}

}  // namespace tersor
