#pragma once
// What every family's launcher does: grids too large for one launch are cut, clusters asked for, errors given back as text.

#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/mapping.h"

namespace tersor::cuda {

inline const char* text_of(cudaError_t status) noexcept {
  if (status == cudaSuccess) return nullptr;
  cudaGetLastError();  // not left behind for the next caller
  return cudaGetErrorString(status);
}

struct Grid {
  std::int64_t blocks;
  int threads;
  int ranks = 1;  // blocks of a cluster
  std::int64_t shared_bytes = 0;
};

// The kernel's task has a first_block, which its blocks count from.
template <class Task, class... Parameters>
const char* launch(void (*kernel)(Task, Parameters...), Task task, const Grid& grid, cudaStream_t stream,
                   Parameters... parameters) noexcept {
  constexpr std::int64_t kMostBlocks = std::int64_t{1} << 30;  // the limit is 2**31 - 1; clusters need a multiple of their size
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = static_cast<unsigned>(grid.ranks);
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  for (std::int64_t first = 0; first < grid.blocks; first += kMostBlocks) {
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(std::min(kMostBlocks, grid.blocks - first)));
    config.blockDim = dim3(static_cast<unsigned>(grid.threads));
    config.dynamicSmemBytes = static_cast<std::size_t>(grid.shared_bytes);
    config.stream = stream;
    config.attrs = &cluster;
    config.numAttrs = grid.ranks > 1 ? 1 : 0;
    task.first_block = first;
    const cudaError_t status = cudaLaunchKernelEx(&config, kernel, task, parameters...);
    if (status != cudaSuccess) return text_of(status);
  }
  return text_of(cudaPeekAtLastError());
}

// Loads a kernel, and lets it use the shared memory it may need.
template <class... Parameters>
const char* warm_up_kernel(void (*kernel)(Parameters...), int most_shared_bytes = 0) noexcept {
  cudaFuncAttributes attributes;
  const auto* address = reinterpret_cast<const void*>(kernel);
  cudaError_t status = cudaFuncGetAttributes(&attributes, address);
  if (status == cudaSuccess && most_shared_bytes > 0) {
    status = cudaFuncSetAttribute(address, cudaFuncAttributeMaxDynamicSharedMemorySize, most_shared_bytes);
    if (status == cudaSuccess)
      status = cudaFuncSetAttribute(address, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
  }
  return text_of(status);
}

// The families' launchers, on the current device.
const char* prune_threshold(const PruneThresholdParams& params, const DeviceLimits& limits, cudaStream_t stream) noexcept;
const char* quantize_int8(const QuantizeInt8Params& params, const DeviceLimits& limits, cudaStream_t stream) noexcept;
const char* softmax(const SoftmaxParams& params, const DeviceLimits& limits, cudaStream_t stream) noexcept;
const char* warm_up_prune(const DeviceLimits& limits) noexcept;
const char* warm_up_quantize(const DeviceLimits& limits) noexcept;
const char* warm_up_softmax(const DeviceLimits& limits) noexcept;

// The table of all of them; see backend.h.
const Backend& backend() noexcept;

inline constexpr const char* kTooManyColumns = "rows of 2**31 - 64 or more columns are too long for a CUDA kernel";
inline constexpr std::int64_t kMostColumns = (std::int64_t{1} << 31) - 64;

}  // namespace tersor::cuda
