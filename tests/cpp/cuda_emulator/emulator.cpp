#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "cuda_runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

dim3 threadIdx, blockIdx, blockDim;

namespace emulator {

Device device;
Log log;

void fail(const char* message) {
  std::fprintf(stderr, "CUDA emulator: %s\n", message);
  std::abort();
}

namespace {

constexpr std::size_t kStackBytes = 128 << 10;
constexpr unsigned kWarp = 32;

struct Cluster;

struct Warp {
  unsigned arrived = 0, exited = 0, round = 0;
  std::uint64_t value[2][kWarp];
};

struct Block {
  Cluster* cluster = nullptr;
  dim3 index;
  unsigned rank = 0, threads = 0, arrived = 0, exited = 0, round = 0;
  std::unique_ptr<std::byte[]> memory;
  std::byte* shared = nullptr;
  std::vector<Warp> warps;
};

struct Cluster {
  unsigned threads = 0, arrived = 0, round = 0;
  std::vector<Block> blocks;
};

// A thread with a stack of its own. `can_go` tells whether what it waits for has happened.
struct Fiber {
  unsigned thread = 0;
  Block* block = nullptr;
  bool done = false, arrived_at_cluster = false;
  unsigned cluster_round = 0;
  std::function<bool()> can_go;
  std::deque<std::vector<std::pair<void*, const void*>>> batches;  // copies on their way; the last is still open
  bool begun = false;
  ucontext_t context;
  jmp_buf jump;
  std::unique_ptr<std::byte[]> stack;
};

std::vector<std::unique_ptr<Fiber>> fibers;  // kept for the next cluster
Fiber* running = nullptr;
const std::function<void()>* kernel_body = nullptr;
std::map<const void*, int> shared_limit;
std::mt19937 order(12345);

#if defined(__SANITIZE_ADDRESS__)
ucontext_t scheduler;
const void* scheduler_stack = nullptr;
std::size_t scheduler_stack_bytes = 0;
#else
jmp_buf scheduler_jump;
#endif

// swapcontext makes two system calls; jumps between stacks make none, but the address sanitizer does not follow them.
#if defined(__SANITIZE_ADDRESS__)
void to_scheduler(bool for_good) {
  Fiber* const self = running;
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake, scheduler_stack, scheduler_stack_bytes);
  swapcontext(&self->context, &scheduler);
  __sanitizer_finish_switch_fiber(fake, &scheduler_stack, &scheduler_stack_bytes);
}

void resume(Fiber& fiber) {
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, fiber.stack.get(), kStackBytes);
  swapcontext(&scheduler, &fiber.context);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
}
#else
void to_scheduler(bool) {
  if (_setjmp(running->jump) == 0) _longjmp(scheduler_jump, 1);
}

void resume(Fiber& fiber) {
  if (_setjmp(scheduler_jump)) return;
  if (fiber.begun) _longjmp(fiber.jump, 1);
  fiber.begun = true;
  setcontext(&fiber.context);
}
#endif

void to_fiber(Fiber& fiber) {
  running = &fiber;
  threadIdx = dim3(fiber.thread);
  blockIdx = fiber.block->index;
  blockDim = dim3(fiber.block->threads);
  resume(fiber);
  running = nullptr;
}

Warp& warp_of(Fiber& fiber) { return fiber.block->warps[fiber.thread / kWarp]; }

void release_block(Block& block) {
  if (block.arrived == 0 || block.arrived + block.exited < block.threads) return;
  if (block.exited) fail("a barrier that some threads of the block never reach");
  block.arrived = 0;
  ++block.round;
}

void fiber_main() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_stack_bytes);
#endif
  (*kernel_body)();
  Fiber& self = *running;
  if (self.arrived_at_cluster) fail("a thread ends between arriving at the cluster's barrier and waiting there");
  self.done = true;
  ++self.block->exited;
  ++warp_of(self).exited;
  release_block(*self.block);
  to_scheduler(true);
}

void wait_until(std::function<bool()> can_go) {
  if (can_go()) return;
  running->can_go = std::move(can_go);
  to_scheduler(false);
}

void start(Fiber& fiber) {
  if (!fiber.stack) fiber.stack = std::make_unique<std::byte[]>(kStackBytes);
  fiber.done = fiber.begun = fiber.arrived_at_cluster = false;
  fiber.can_go = nullptr;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = kStackBytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, fiber_main, 0);
}

void run_cluster(const cudaLaunchConfig_t& config, unsigned first_block, unsigned ranks) {
  Cluster cluster;
  cluster.threads = ranks * config.blockDim.x;
  cluster.blocks.resize(ranks);
  while (fibers.size() < cluster.threads) fibers.push_back(std::make_unique<Fiber>());
  std::vector<Fiber*> waiting;
  for (unsigned rank = 0; rank < ranks; ++rank) {
    Block& block = cluster.blocks[rank];
    block.cluster = &cluster;
    block.index = dim3(first_block + rank);
    block.rank = rank;
    block.threads = config.blockDim.x;
    block.memory = std::make_unique<std::byte[]>(config.dynamicSmemBytes + 1);  // to the byte, for the address sanitizer
    block.shared = block.memory.get();
    std::memset(block.shared, 0xff, config.dynamicSmemBytes);
    block.warps.resize(config.blockDim.x / kWarp);
    for (unsigned t = 0; t < config.blockDim.x; ++t) {
      Fiber& fiber = *fibers[rank * config.blockDim.x + t];
      fiber.block = &block;
      fiber.thread = t;
      fiber.batches.assign(1, {});
      start(fiber);
      waiting.push_back(&fiber);
    }
  }
  while (!waiting.empty()) {
    std::shuffle(waiting.begin(), waiting.end(), order);
    bool moved = false;
    for (Fiber* fiber : waiting) {
      if (fiber->can_go && !fiber->can_go()) continue;
      fiber->can_go = nullptr;
      to_fiber(*fiber);
      moved = true;
    }
    if (!moved) fail("every thread waits: a barrier or a shuffle that some never reach");
    std::erase_if(waiting, [](const Fiber* fiber) { return fiber->done; });
  }
}

}  // namespace

cudaError_t run(const cudaLaunchConfig_t& config, const void* kernel, const std::function<void()>& body) {
  const unsigned ranks = config.numAttrs ? config.attrs[0].val.clusterDim.x : 1;
  const auto limit = shared_limit.find(kernel);
  const std::size_t most_shared = limit == shared_limit.end() ? 48 << 10 : static_cast<std::size_t>(limit->second);
  const bool valid = config.gridDim.x >= 1 && config.gridDim.x <= 0x7fffffffu && config.blockDim.x >= 1 &&
                     config.blockDim.x <= 1024 && config.blockDim.x % kWarp == 0 && config.dynamicSmemBytes <= most_shared &&
                     ranks <= 8 && (ranks == 1 || device.major >= 9) && config.gridDim.x % ranks == 0;
  if (!valid) return cudaErrorInvalidValue;
  ++log.launches;
  log.blocks = config.gridDim.x;
  log.threads = config.blockDim.x;
  log.ranks = ranks;
  log.shared_bytes = config.dynamicSmemBytes;
  log.stream = config.stream;
  kernel_body = &body;
  for (unsigned block = 0; block < config.gridDim.x; block += ranks) run_cluster(config, block, ranks);
  kernel_body = nullptr;
  return cudaSuccess;
}

void* shared_memory() { return running->block->shared; }

void block_barrier() {
  Block& block = *running->block;
  const unsigned round = block.round;
  ++block.arrived;
  release_block(block);
  wait_until([&block, round] { return block.round != round; });
}

void cluster_arrive() {
  Cluster& cluster = *running->block->cluster;
  if (running->arrived_at_cluster) fail("a thread arrives at the cluster's barrier twice without waiting");
  running->arrived_at_cluster = true;
  running->cluster_round = cluster.round;
  if (++cluster.arrived == cluster.threads) {
    cluster.arrived = 0;
    ++cluster.round;
  }
}

void cluster_wait() {
  Cluster& cluster = *running->block->cluster;
  if (!running->arrived_at_cluster) fail("a thread waits at the cluster's barrier without having arrived");
  running->arrived_at_cluster = false;
  const unsigned round = running->cluster_round;
  wait_until([&cluster, round] { return cluster.round != round; });
}

void* remote(const void* local, unsigned rank) {
  Block& own = *running->block;
  Cluster& cluster = *own.cluster;
  if (cluster.round == 0) fail("another block's shared memory is used before that block is known to have begun");
  Block& other = cluster.blocks.at(rank);
  if (other.exited == other.threads) fail("another block's shared memory is used after that block has ended");
  return other.shared + (static_cast<const std::byte*>(local) - own.shared);
}

std::uint64_t exchange(std::uint64_t value, int lane_mask) {
  Warp& warp = warp_of(*running);
  const unsigned lane = running->thread % kWarp, round = warp.round;
  if (warp.exited) fail("a shuffle or vote after some lanes of the warp have ended");
  warp.value[round % 2][lane] = value;
  if (++warp.arrived == kWarp) {
    warp.arrived = 0;
    ++warp.round;
  }
  wait_until([&warp, round] { return warp.round != round; });
  return warp.value[round % 2][lane ^ static_cast<unsigned>(lane_mask)];
}

void begin_copy(void* to, const void* from) {
  for (const void* address : {static_cast<const void*>(to), from})
    if (reinterpret_cast<std::uintptr_t>(address) % 16) fail("a misaligned copy");
  running->batches.back().emplace_back(to, from);
}

void close_batch() { running->batches.emplace_back(); }

void wait_for_batches(std::size_t pending) {
  auto& batches = running->batches;
  for (; batches.size() - 1 > pending; batches.pop_front())
    for (const auto& [to, from] : batches.front()) std::memcpy(to, from, 16);
}

bool any(bool value) {
  std::uint64_t seen = value;
  for (int apart = 16; apart > 0; apart /= 2) seen |= exchange(seen, apart);
  return seen != 0;
}

}  // namespace emulator

namespace {
int current_device = 0;
}

cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device > 1) return cudaErrorInvalidDevice;
  current_device = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = emulator::device.major; break;
    case cudaDevAttrMultiProcessorCount: *value = emulator::device.multiprocessors; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = emulator::device.shared_bytes; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = emulator::device.shared_bytes_of_a_multiprocessor; break;
  }
  return cudaSuccess;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, const void*) { return cudaSuccess; }
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value > emulator::device.shared_bytes) return cudaErrorInvalidValue;
  emulator::shared_limit[kernel] = value;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaPeekAtLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidDevice: return "invalid device ordinal";
    default: return "invalid argument";
  }
}
