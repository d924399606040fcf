#include "core/parallel.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <thread>

#include "core/check.h"
#include "core/float_environment.h"
#include "core/store.h"
#include "core/thread_count.h"

namespace tersor {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPollInterval = std::chrono::milliseconds(10);
// About 50 us of pause instructions, before a worker without work parks, and before a caller whose workers are not done does: a
// thread that has to be woken comes 20 to 50 us late, more than a loop over a megabyte in cache takes.
constexpr int kSpins = 3000;

std::atomic<int> thread_limit{0};  // 0: not yet asked for
std::atomic<InterruptPoll> interrupt_poll{nullptr};
thread_local bool inside_loop = false;

// One parallel_for call. It lives on the caller's stack: the caller leaves only once no worker is inside.
struct Job {
  FunctionRef<void(std::int64_t)> body;
  std::int64_t chunks;
  int wanted_workers;
  std::atomic<std::int64_t> next{0};
  std::atomic<bool> stopped{false};
  std::atomic<int> workers_inside{0};  // written under the pool's mutex
  std::exception_ptr error = nullptr;  // guarded by the pool's mutex
  Job* following = nullptr;            // guarded by the pool's mutex

  bool exhausted() const noexcept {
    return stopped.load(std::memory_order_relaxed) || next.load(std::memory_order_relaxed) >= chunks;
  }
};

thread_local const Job* current_job = nullptr;  // null where the loop is a serial one

class Pool {
 public:
  void run(Job& job) {
    publish(job);
    work(job, /*poll=*/interrupt_poll.load(std::memory_order_relaxed));
    retire(job);
  }

 private:
  void publish(Job& job) {
    {
      const std::lock_guard lock(mutex_);
      try {
        for (; workers_ < job.wanted_workers; ++workers_) start_worker();
      } catch (const std::system_error&) {
        // No more threads to be had: the caller does the work that they would have done.
      }
      job.following = jobs_;
      jobs_ = &job;
      epoch_.fetch_add(1, std::memory_order_release);
    }
    if (job.wanted_workers == 1)
      work_arrived_.notify_one();
    else
      work_arrived_.notify_all();
  }

  // Takes the job off the list, so that no further worker joins it, and waits for those inside.
  void retire(Job& job) {
    {
      const std::lock_guard lock(mutex_);
      Job** link = &jobs_;
      while (*link != &job) link = &(*link)->following;
      *link = job.following;
    }
    for (int spin = 0; spin < kSpins && job.workers_inside.load(std::memory_order_acquire) != 0; ++spin) pause_briefly();
    // Under the lock also where none is inside: the last to leave holds it until it no longer needs the job.
    std::unique_lock lock(mutex_);
    worker_left_.wait(lock, [&] { return job.workers_inside.load(std::memory_order_relaxed) == 0; });
  }

  void work(Job& job, InterruptPoll poll) noexcept {
    const DefaultFloatEnvironment environment;
    inside_loop = true;
    current_job = &job;
    Clock::time_point last_poll = poll ? Clock::now() : Clock::time_point{};
    while (!job.stopped.load(std::memory_order_relaxed)) {
      const std::int64_t chunk = job.next.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= job.chunks) break;
      try {
        job.body(chunk);
        if (poll && Clock::now() - last_poll >= kPollInterval) {
          if (poll()) throw Interrupted();
          last_poll = Clock::now();
        }
      } catch (...) {
        fail(job);
      }
    }
    finish_streaming();
    inside_loop = false;
    current_job = nullptr;
  }

  void fail(Job& job) noexcept {
    const std::lock_guard lock(mutex_);
    if (!job.error) job.error = std::current_exception();
    job.stopped.store(true, std::memory_order_relaxed);
  }

  void start_worker() {
    // Signals belong to the host's own threads: a Ctrl-C handled on a worker would reach nobody.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      std::thread([this] { serve(); }).detach();
    } catch (...) {
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      throw;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  [[noreturn]] void serve() {
    for (;;) {
      const std::uint64_t seen = epoch_.load(std::memory_order_acquire);
      if (Job* job = join()) {
        work(*job, /*poll=*/nullptr);
        leave(*job);
        continue;
      }
      for (int spin = 0; spin < kSpins && epoch_.load(std::memory_order_acquire) == seen; ++spin) pause_briefly();
      std::unique_lock lock(mutex_);
      work_arrived_.wait(lock, [&] { return epoch_.load(std::memory_order_acquire) != seen; });
    }
  }

  Job* join() {
    const std::lock_guard lock(mutex_);
    for (Job* job = jobs_; job; job = job->following) {
      if (job->exhausted() || job->workers_inside.load(std::memory_order_relaxed) >= job->wanted_workers) continue;
      job->workers_inside.fetch_add(1, std::memory_order_relaxed);
      return job;
    }
    return nullptr;
  }

  void leave(Job& job) {
    const std::lock_guard lock(mutex_);
    if (job.workers_inside.fetch_sub(1, std::memory_order_release) == 1)
      worker_left_.notify_all();  // under the lock: after it the job may be gone
  }

  std::mutex mutex_;
  std::condition_variable work_arrived_, worker_left_;
  std::atomic<std::uint64_t> epoch_{0};
  Job* jobs_ = nullptr;
  int workers_ = 0;
};

// Never destroyed: detached workers may outlive static destructors. A forked child has none of the parent's workers and must not
// touch locks that they may hold, so it starts afresh and leaves the old pool where it is.
Pool* pool = nullptr;

void renew_pool() { pool = new Pool; }

Pool& the_pool() {
  static const bool ready = [] {
    renew_pool();
    pthread_atfork(nullptr, nullptr, [] {
      renew_pool();
      inside_loop = false;
      current_job = nullptr;
    });
    return true;
  }();
  (void)ready;
  return *pool;
}

void run_serially(std::int64_t chunks, FunctionRef<void(std::int64_t)> body) {
  const DefaultFloatEnvironment environment;
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk);
  finish_streaming();
}

}  // namespace

void parallel_for(std::int64_t chunks, FunctionRef<void(std::int64_t)> body) {
  if (chunks <= 1 || inside_loop) {
    run_serially(chunks, body);
    return;
  }
  // A loop on one thread takes the same road, for the sake of the interrupt poll.
  const auto workers = static_cast<int>(std::min<std::int64_t>(num_threads(), chunks)) - 1;
  Job job{body, chunks, workers};
  the_pool().run(job);
  if (job.error) std::rethrow_exception(job.error);
}

bool loop_is_stopped() noexcept { return current_job && current_job->stopped.load(std::memory_order_relaxed); }

void pause_briefly() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int num_threads() noexcept {
  int count = thread_limit.load(std::memory_order_relaxed);
  if (count == 0) {
    count = default_thread_count();
    thread_limit.store(count, std::memory_order_relaxed);
  }
  return count;
}

void set_num_threads(int count) {
  if (count < 1) throw ValueError("count must be at least 1, got " + std::to_string(count));
  thread_limit.store(count, std::memory_order_relaxed);
}

void set_interrupt_poll(InterruptPoll poll) noexcept { interrupt_poll.store(poll, std::memory_order_relaxed); }

}  // namespace tersor
