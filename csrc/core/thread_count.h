#pragma once

namespace tersor {

// TERSOR_NUM_THREADS where it is set; else the least of: CPUs in the affinity mask, the cgroup CPU quota (rounded up), and
// OMP_NUM_THREADS.
int default_thread_count() noexcept;

}  // namespace tersor
