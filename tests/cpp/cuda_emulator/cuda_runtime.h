#pragma once
// A CUDA that runs on the CPU: as much of the runtime and of the device language as csrc/cuda uses, so that the very kernels and
// launchers are compiled by g++ and executed, with their index maps, tails, barriers and shuffles, on machines without a GPU.
//
// Threads of a cluster are fibers. They run in a random order until each waits at a barrier or a shuffle, which makes a missing
// barrier show as a wrong result now and then; shared memory starts as NaN. What CUDA leaves undefined ends the program with a
// message: a shuffle without the whole warp, a barrier that some threads never reach, a store to another block's shared memory
// before that block is known to have begun or after it has ended, more shared memory than was asked for. Asynchronous copies
// arrive as late as they may.
// What it cannot show: memory ordering finer than barriers, time.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>

#define TERSOR_CUDA_EMULATOR 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

// --- the runtime's types, by their own names -----------------------------------------------------------------------------

enum cudaError_t { cudaSuccess, cudaErrorInvalidValue, cudaErrorInvalidDevice };
enum cudaDeviceAttr {
  cudaDevAttrComputeCapabilityMajor,
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrMaxSharedMemoryPerBlockOptin,
  cudaDevAttrMaxSharedMemoryPerMultiprocessor,
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize, cudaFuncAttributePreferredSharedMemoryCarveout };
enum cudaLaunchAttributeID { cudaLaunchAttributeClusterDimension };
inline constexpr int cudaSharedmemCarveoutMaxShared = 100;

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3() = default;
  explicit dim3(unsigned x_) : x(x_) {}
};
struct uint2 {
  unsigned x, y;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }

struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  union {
    struct {
      unsigned x, y, z;
    } clusterDim;
  } val;
};
using cudaStream_t = struct EmulatedStream*;
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};
struct cudaFuncAttributes {};

// --- the machine ---------------------------------------------------------------------------------------------------------

namespace emulator {

// The device that the runtime reports; tests change it.
struct Device {
  int major = 9, multiprocessors = 132, shared_bytes = 227 << 10, shared_bytes_of_a_multiprocessor = 228 << 10;
};
extern Device device;

// What the launches since `reset_log` were, for tests that ask which kernel ran.
struct Log {
  int launches = 0;
  unsigned blocks = 0, threads = 0, ranks = 1;
  std::size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
};
extern Log log;

cudaError_t run(const cudaLaunchConfig_t& config, const void* kernel, const std::function<void()>& body);
void* shared_memory();
void block_barrier();
void cluster_arrive();
void cluster_wait();
void* remote(const void* local, unsigned rank);
std::uint64_t exchange(std::uint64_t value, int lane_mask);  // the value of lane ^ lane_mask
bool any(bool value);
void begin_copy(void* to, const void* from);  // 16 bytes, which arrive when they are waited for
void close_batch();
void wait_for_batches(std::size_t pending);
[[noreturn]] void fail(const char* message);

}  // namespace emulator

extern dim3 threadIdx, blockIdx, blockDim;  // of the fiber that runs

// --- the device language -----------------------------------------------------------------------------------------------------

inline void __syncthreads() { emulator::block_barrier(); }
inline void __cluster_barrier_arrive() { emulator::cluster_arrive(); }
inline void __cluster_barrier_wait() { emulator::cluster_wait(); }
inline void* __cluster_map_shared_rank(const void* local, unsigned rank) { return emulator::remote(local, rank); }
inline int __any_sync(unsigned mask, bool value) {
  if (mask != ~0u) emulator::fail("a vote of part of a warp");
  return emulator::any(value);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
  if (mask != ~0u) emulator::fail("a shuffle of part of a warp");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = emulator::exchange(bits, lane_mask);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// --- the runtime -------------------------------------------------------------------------------------------------------------

cudaError_t cudaGetDevice(int* device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel);
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();
const char* cudaGetErrorString(cudaError_t error);

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...), Arguments&&... arguments) {
  return emulator::run(*config, reinterpret_cast<const void*>(kernel), [&] { kernel(static_cast<Parameters>(arguments)...); });
}
