// Bandwidth probes: how fast this machine moves bytes when nothing is computed. They are the floor that every operation is
// measured against, so they share no code with the library.
//
// Each is plain on purpose: contiguous parts in order, full vectors, no software prefetch. A better access pattern may beat it,
// which is why some goals lie below 1.0.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

constexpr std::size_t kLineBytes = 64;

#if defined(__AVX512F__)
constexpr std::size_t kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr std::size_t kVectorBytes = 32;
#else
constexpr std::size_t kVectorBytes = 16;
#endif

typedef std::uint64_t Vector __attribute__((vector_size(kVectorBytes), may_alias));
constexpr std::size_t kVectorsPerLine = kLineBytes / kVectorBytes;

Vector* vectors(std::byte* bytes) { return reinterpret_cast<Vector*>(bytes); }

struct OrdinaryStore {
  static void store(Vector* to, Vector value) { *to = value; }
  static void finish() {}
};

// Outside x86 GCC has no intrinsic for a streaming store; there the two copies are the same.
struct StreamingStore {
  static void store(Vector* to, Vector value) {
#if defined(__AVX512F__)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(to), reinterpret_cast<__m512i>(value));
#elif defined(__AVX2__)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(value));
#elif defined(__x86_64__)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to), reinterpret_cast<__m128i>(value));
#else
    *to = value;
#endif
  }
  static void finish() {
#if defined(__x86_64__)
    _mm_sfence();
#endif
  }
};

// Contiguous lines. Results go through here so that no load can be optimised away.
struct Part {
  std::byte* source;
  std::size_t source_lines;
  std::byte* target;
  std::size_t target_lines;
  Vector sink{};
};

void read(Part& part) {
  Vector sums[8]{};
  const Vector* from = vectors(part.source);
  const std::size_t count = part.source_lines * kVectorsPerLine;
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (std::size_t k = 0; k < 8; ++k) sums[k] += from[i + k];
  for (; i < count; ++i) sums[0] += from[i];
  for (const Vector& sum : sums) part.sink += sum;
}

template <class Store>
void copy(Part& part) {
  const Vector* from = vectors(part.source);
  Vector* to = vectors(part.target);
  const std::size_t count = part.target_lines * kVectorsPerLine;
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4)
    for (std::size_t k = 0; k < 4; ++k) Store::store(to + i + k, from[i + k]);
  for (; i < count; ++i) Store::store(to + i, from[i]);
  Store::finish();
}

// Writes back what it read, so that the probe may run on live data. The barrier keeps the compiler from seeing that.
void update(Part& part) {
  Vector* data = vectors(part.source);
  Vector zero{};
  asm volatile("" : "+m"(zero));
  const std::size_t count = part.source_lines * kVectorsPerLine;
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4)
    for (std::size_t k = 0; k < 4; ++k) data[i + k] = data[i + k] + zero;
  for (; i < count; ++i) data[i] = data[i] + zero;
}

// Reads and writes different amounts, evenly interleaved: each step takes four lines of the shorter stream and as many of the
// longer one as their ratio says.
template <class Store>
void mix(Part& part) {
  constexpr std::size_t kShortLines = 4;
  const std::size_t shorter = part.source_lines < part.target_lines ? part.source_lines : part.target_lines;
  const std::size_t steps = shorter / kShortLines ? shorter / kShortLines : 1;
  const Vector* from = vectors(part.source);
  Vector* to = vectors(part.target);
  Vector sums[4]{};
  std::size_t read_until = 0, written_until = 0;
  for (std::size_t step = 1; step <= steps; ++step) {
    const std::size_t read_from = read_until, written_from = written_until;
    read_until = part.source_lines * step / steps * kVectorsPerLine;
    written_until = part.target_lines * step / steps * kVectorsPerLine;
    std::size_t i = read_from;
    for (; i + 4 <= read_until; i += 4)
      for (std::size_t k = 0; k < 4; ++k) sums[k] += from[i + k];
    for (; i < read_until; ++i) sums[0] += from[i];
    const Vector value = sums[0] + sums[1] + sums[2] + sums[3];
    for (i = written_from; i < written_until; ++i) Store::store(to + i, value);
  }
  Store::finish();
  part.sink = sums[0];
}

// The threads meet here, spinning: a sleeping thread would add its wake-up to the time.
class Barrier {
 public:
  explicit Barrier(int threads) : threads_(threads) {}
  void wait() {
    const int generation = generation_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
      arrived_.store(0, std::memory_order_relaxed);
      generation_.store(generation + 1, std::memory_order_release);
      return;
    }
    // A core that another program holds would leave us spinning for its whole time slice.
    for (int spins = 0; generation_.load(std::memory_order_acquire) == generation; ++spins)
      if (spins > 10000) std::this_thread::yield();
  }

 private:
  const int threads_;
  std::atomic<int> arrived_{0};
  std::atomic<int> generation_{0};
};

struct Job {
  void (*kernel)(Part&);
  std::byte* source;
  std::size_t source_bytes;
  std::byte* target;
  std::size_t target_bytes;

  void run_part(std::size_t index, std::size_t parts) const {
    const auto cut = [&](std::size_t bytes, std::size_t i) { return bytes / kLineBytes * i / parts; };
    const std::size_t source_from = cut(source_bytes, index), target_from = cut(target_bytes, index);
    Part part{source + source_from * kLineBytes, cut(source_bytes, index + 1) - source_from, target + target_from * kLineBytes,
              cut(target_bytes, index + 1) - target_from};
    kernel(part);
    asm volatile("" : : "m"(part.sink) : "memory");
  }
};

// For memory: threads claim parts as they come, so that a core which another program slows down does not hold up the rest. 512 KiB
// are long for the hardware's prefetchers and short beside the whole.
constexpr std::size_t kClaimedBytes = 512 << 10;

// Two new threads often start on one core and stay there for longer than a probe lasts, so each gets a core of its own.
std::vector<int> allowed_cpus() {
  std::vector<int> cpus;
#if defined(__linux__)
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
#endif
  return cpus;
}

void pin_to([[maybe_unused]] int cpu) {
#if defined(__linux__)
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(cpu, &only);
  sched_setaffinity(0, sizeof only, &only);
#endif
}

// The seconds of one pass. Several passes mean data that fits a cache: every thread keeps its part then, and reads it once before.
double run(const Job& job, int threads, int passes) {
  const std::size_t parts = (job.source_bytes + job.target_bytes) / kClaimedBytes + 1;
  Barrier barrier(threads);
  std::atomic<std::size_t> claimed{0};
  using Clock = std::chrono::steady_clock;
  std::vector<Clock::time_point> starts(threads), ends(threads);
  const auto work = [&](int index) {
    if (passes > 1) job.run_part(index, threads);
    barrier.wait();
    starts[index] = Clock::now();
    if (passes > 1) {
      for (int pass = 0; pass < passes; ++pass) job.run_part(index, threads);
    } else {
      for (std::size_t part = claimed++; part < parts; part = claimed++) job.run_part(part, parts);
    }
    ends[index] = Clock::now();
  };
  const std::vector<int> cpus = allowed_cpus();
  std::vector<std::thread> workers;
  for (int index = 0; index < threads; ++index)
    workers.emplace_back([&, index] {
      if (!cpus.empty()) pin_to(cpus[index % cpus.size()]);
      work(index);
    });
  for (std::thread& worker : workers) worker.join();
  // From the first start: a thread that loses its core right after the barrier may find the work done when it gets to its own.
  const auto first = *std::min_element(starts.begin(), starts.end());
  const auto last = *std::max_element(ends.begin(), ends.end());
  return std::chrono::duration<double>(last - first).count() / passes;
}

}  // namespace

// Buffers start on a cache line.
extern "C" {

double probe_read(std::byte* source, std::size_t bytes, int threads, int passes) {
  return run({read, source, bytes, nullptr, 0}, threads, passes);
}

double probe_update(std::byte* data, std::size_t bytes, int threads, int passes) {
  return run({update, data, bytes, nullptr, 0}, threads, passes);
}

double probe_copy(std::byte* source, std::byte* target, std::size_t bytes, int streaming, int threads, int passes) {
  return run({streaming ? copy<StreamingStore> : copy<OrdinaryStore>, source, bytes, target, bytes}, threads, passes);
}

double probe_mix(std::byte* source, std::size_t source_bytes, std::byte* target, std::size_t target_bytes, int streaming,
                 int threads, int passes) {
  return run({streaming ? mix<StreamingStore> : mix<OrdinaryStore>, source, source_bytes, target, target_bytes}, threads, passes);
}
}
