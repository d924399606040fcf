#pragma once
// Threads that share a row, and what they find out together: the maximum (NaN wins) and the sum. Every thread of a group gets the
// same result, and the order of combination is fixed, so that results are the same from run to run. All threads of a block (of a
// cluster, for ClusterGroup) call together, each function at most once in a kernel.

#include <cuda_runtime.h>

#include "cuda/formats.h"
#include "cuda/total.h"

namespace tersor::cuda {

inline constexpr int kWarp = 32;
inline constexpr int kMostWarps = 32;
inline constexpr int kMostRanks = 8;  // blocks in a cluster, the portable limit

__device__ __forceinline__ Packet* shared_memory() {
#if defined(TERSOR_CUDA_EMULATOR)
  return static_cast<Packet*>(emulator::shared_memory());
#else
  extern __shared__ Packet memory[];
  return memory;
#endif
}

__device__ __forceinline__ int thread() { return static_cast<int>(threadIdx.x); }
__device__ __forceinline__ int threads() { return static_cast<int>(blockDim.x); }
__device__ __forceinline__ int lane() { return thread() % kWarp; }
__device__ __forceinline__ int warp() { return thread() / kWarp; }
__device__ __forceinline__ int warps() { return threads() / kWarp; }

template <class T>
__device__ __forceinline__ T shuffle(T value, int apart) {
  return __shfl_xor_sync(~0u, value, apart);
}
__device__ __forceinline__ Total<float> shuffle(Total<float> value, int apart) { return {shuffle(value.high, apart)}; }
__device__ __forceinline__ Total<double> shuffle(Total<double> value, int apart) {
  return {shuffle(value.high, apart), shuffle(value.low, apart)};
}

// 2**n neighbouring lanes of a warp.
class LaneGroup {
 public:
  __device__ __forceinline__ explicit LaneGroup(int lanes) : lanes_(lanes) {}
  template <class Math>
  __device__ __forceinline__ Math max(Math value) const {
    for (int apart = lanes_ / 2; apart > 0; apart /= 2) value = max_or_nan(value, shuffle(value, apart));
    return value;
  }
  template <class Math>
  __device__ __forceinline__ Total<Math> sum(Total<Math> value) const {
    for (int apart = lanes_ / 2; apart > 0; apart /= 2) value = value + shuffle(value, apart);
    return value;
  }

 private:
  int lanes_;
};

template <class Math>
struct BlockScratch {
  Total<Math> sum[kMostWarps];
  Total<Math> sum_of_rank[kMostRanks];
  Math max[2][kMostWarps];
  Math max_of_rank[kMostRanks];
};

// Packets of shared memory that a scratch takes.
template <class Scratch>
inline constexpr int kScratchPackets = static_cast<int>((sizeof(Scratch) + sizeof(Packet) - 1) / sizeof(Packet));

// A whole block.
template <class Math>
class BlockGroup {
 public:
  using Scratch = BlockScratch<Math>;
  __device__ __forceinline__ explicit BlockGroup(Packet* memory) : scratch_(reinterpret_cast<Scratch*>(memory)) {}

  // A second maximum in the same kernel takes place 1.
  __device__ __forceinline__ Math max(Math value, int place = 0) const {
    const LaneGroup all(kWarp);
    value = all.max(value);
    if (lane() == 0) scratch_->max[place][warp()] = value;
    __syncthreads();
    return all.max(lane() < warps() ? scratch_->max[place][lane()] : -kInfinity<Math>);
  }
  __device__ __forceinline__ Total<Math> sum(Total<Math> value) const {
    const LaneGroup all(kWarp);
    value = all.sum(value);
    if (lane() == 0) scratch_->sum[warp()] = value;
    __syncthreads();
    return all.sum(lane() < warps() ? scratch_->sum[lane()] : Total<Math>{});
  }

 protected:
  Scratch* scratch_;
};

// The blocks of a cluster. Each tells its result to every other by a store into that one's shared memory. The cluster's first
// barrier makes sure that the others have begun, which such a store asks for; the last one that their stores have landed, after
// which nobody touches another's memory, so that a block may end.
template <class Math>
class ClusterGroup : public BlockGroup<Math> {
 public:
  __device__ __forceinline__ ClusterGroup(Packet* memory, int rank, int ranks)
      : BlockGroup<Math>(memory), rank_(rank), ranks_(ranks) {
    if (ranks_ > 1) arrive();
  }
  __device__ __forceinline__ Math max(Math value) const {
    value = BlockGroup<Math>::max(value);
    if (ranks_ == 1) return value;
    wait();
    Math* const of_rank = this->scratch_->max_of_rank;
    tell(of_rank, value);
    value = of_rank[0];
    for (int i = 1; i < ranks_; ++i) value = max_or_nan(value, of_rank[i]);
    return value;
  }
  __device__ __forceinline__ Total<Math> sum(Total<Math> value) const {
    value = BlockGroup<Math>::sum(value);
    if (ranks_ == 1) return value;
    Total<Math>* const of_rank = this->scratch_->sum_of_rank;
    tell(of_rank, value);
    value = of_rank[0];
    for (int i = 1; i < ranks_; ++i) value = value + of_rank[i];
    return value;
  }

 private:
  template <class T>
  __device__ __forceinline__ void tell(T* of_rank, T value) const {
    if (thread() < ranks_) *remote(of_rank + rank_, thread()) = value;
    arrive();
    wait();
  }

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  template <class T>
  static __device__ __forceinline__ T* remote(T* local, int) {
    return local;
  }
  static __device__ __forceinline__ void arrive() {}
  static __device__ __forceinline__ void wait() {}
#else
  template <class T>
  static __device__ __forceinline__ T* remote(T* local, int rank) {
    return static_cast<T*>(__cluster_map_shared_rank(local, static_cast<unsigned>(rank)));
  }
  static __device__ __forceinline__ void arrive() { __cluster_barrier_arrive(); }  // releases
  static __device__ __forceinline__ void wait() { __cluster_barrier_wait(); }      // acquires
#endif

  int rank_, ranks_;
};

// Threads of one lane number in the warps of a block: 32 rows side by side, whose neighbours are closer in memory than a row's
// items.
template <class Math, int kWarps>
class ColumnGroup {
 public:
  struct Scratch {
    Total<Math> sum[kWarps][kWarp];
    Math max[kWarps][kWarp];
  };
  __device__ __forceinline__ explicit ColumnGroup(Packet* memory) : scratch_(reinterpret_cast<Scratch*>(memory)) {}

  __device__ __forceinline__ Math max(Math value) const {
    scratch_->max[warp()][lane()] = value;
    __syncthreads();
    value = scratch_->max[0][lane()];
    for (int i = 1; i < kWarps; ++i) value = max_or_nan(value, scratch_->max[i][lane()]);
    return value;
  }
  __device__ __forceinline__ Total<Math> sum(Total<Math> value) const {
    scratch_->sum[warp()][lane()] = value;
    __syncthreads();
    value = scratch_->sum[0][lane()];
    for (int i = 1; i < kWarps; ++i) value = value + scratch_->sum[i][lane()];
    return value;
  }

 private:
  Scratch* scratch_;
};

}  // namespace tersor::cuda
