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

// Where a block finds what the blocks of its cluster tell it.
template <class T>
struct Mailbox {
  alignas(16) T from_rank[kMostRanks];
  std::uint64_t arrivals;  // an mbarrier, which counts bytes
};

template <class Math>
struct BlockScratch {
  Mailbox<Total<Math>> sums;
  Mailbox<Math> maxima;
  Total<Math> sum[kMostWarps];
  Math max[2][kMostWarps];
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

// What a block of a cluster does with mailboxes. A barrier of the whole cluster would do, but a thread that arrives there waits
// until everything that it has on its way is done, and spends a third of its time so. Letters are counted where they land instead.
#if defined(TERSOR_CUDA_EMULATOR)
template <class T>
void open(Mailbox<T>&, int) {}
template <class T>
void send(Mailbox<T>& mailbox, int from, int to, const T& letter) {
  *static_cast<T*>(__cluster_map_shared_rank(&mailbox.from_rank[from], static_cast<unsigned>(to))) = letter;
}
template <class T>
void wait_for_all(Mailbox<T>&) {
  __cluster_barrier_arrive();
  __cluster_barrier_wait();
}
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900  // no clusters
template <class T>
__device__ __forceinline__ void open(Mailbox<T>&, int) {}
template <class T>
__device__ __forceinline__ void send(Mailbox<T>&, int, int, const T&) {}
template <class T>
__device__ __forceinline__ void wait_for_all(Mailbox<T>&) {}
#else
__device__ __forceinline__ unsigned shared_address(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}
__device__ __forceinline__ unsigned address_in(int rank, const void* pointer) {
  unsigned address;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(shared_address(pointer)), "r"(rank));
  return address;
}

// By one thread, before the cluster's first barrier.
template <class T>
__device__ __forceinline__ void open(Mailbox<T>& mailbox, int letters) {
  const unsigned arrivals = shared_address(&mailbox.arrivals);
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(arrivals) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
               :
               : "r"(arrivals), "r"(letters * static_cast<int>(sizeof(T)))
               : "memory");
}
__device__ __forceinline__ void send_bits(unsigned to, unsigned arrivals, float letter) {
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, [%2];"
               :
               : "r"(to), "r"(bits_of(letter)), "r"(arrivals)
               : "memory");
}
__device__ __forceinline__ void send_bits(unsigned to, unsigned arrivals, double letter) {
  asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b64 [%0], %1, [%2];"
               :
               : "r"(to), "l"(bits_of(letter)), "r"(arrivals)
               : "memory");
}
__device__ __forceinline__ void send_bits(unsigned to, unsigned arrivals, Total<float> letter) {
  send_bits(to, arrivals, letter.high);
}
__device__ __forceinline__ void send_bits(unsigned to, unsigned arrivals, Total<double> letter) {
  send_bits(to, arrivals, letter.high);
  send_bits(to + 8, arrivals, letter.low);
}
template <class T>
__device__ __forceinline__ void send(Mailbox<T>& mailbox, int from, int to, const T& letter) {
  send_bits(address_in(to, &mailbox.from_rank[from]), address_in(to, &mailbox.arrivals), letter);
}
template <class T>
__device__ __forceinline__ void wait_for_all(Mailbox<T>& mailbox) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], 0;\n"
      "@!done bra again;\n"
      "}"
      :
      : "r"(shared_address(&mailbox.arrivals))
      : "memory");
}
#endif

// The blocks of a cluster. The first barrier makes sure that the others have begun and opened their mailboxes. A block ends when
// all letters to it have come, so that nobody sends to one that is gone.
template <class Math>
class ClusterGroup : public BlockGroup<Math> {
 public:
  __device__ __forceinline__ ClusterGroup(Packet* memory, int rank, int ranks)
      : BlockGroup<Math>(memory), rank_(rank), ranks_(ranks) {
    if (ranks_ == 1) return;
    if (thread() == 0) {
      open(this->scratch_->maxima, ranks_);
      open(this->scratch_->sums, ranks_);
    }
    arrive();
  }
  __device__ __forceinline__ Math max(Math value) const {
    value = BlockGroup<Math>::max(value);
    if (ranks_ == 1) return value;
    wait();
    const Math* const of_rank = exchange(this->scratch_->maxima, value);
    value = of_rank[0];
    for (int i = 1; i < ranks_; ++i) value = max_or_nan(value, of_rank[i]);
    return value;
  }
  __device__ __forceinline__ Total<Math> sum(Total<Math> value) const {
    value = BlockGroup<Math>::sum(value);
    if (ranks_ == 1) return value;
    const Total<Math>* const of_rank = exchange(this->scratch_->sums, value);
    value = of_rank[0];
    for (int i = 1; i < ranks_; ++i) value = value + of_rank[i];
    return value;
  }

 private:
  template <class T>
  __device__ __forceinline__ const T* exchange(Mailbox<T>& mailbox, const T& value) const {
    if (thread() < ranks_) send(mailbox, rank_, thread(), value);
    wait_for_all(mailbox);
    return mailbox.from_rank;
  }

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
  static __device__ __forceinline__ void arrive() {}
  static __device__ __forceinline__ void wait() {}
#else
  static __device__ __forceinline__ void arrive() { __cluster_barrier_arrive(); }
  static __device__ __forceinline__ void wait() { __cluster_barrier_wait(); }
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
