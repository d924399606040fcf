#pragma once
// What the blocks of a loop hand on from one to the next, in C order, while they run on several threads: here, how many items lie
// before a block's own. A block passes the count on as soon as it knows it, and does its work while the next one begins.

#include <atomic>
#include <cstdint>
#include <thread>

#include "core/check.h"
#include "core/parallel.h"

namespace tersor {

class InTurn {
 public:
  // Elements [position, position + length) have `count` items; returns how many items all elements before them have. Waits until
  // these have had their turn: they must belong to chunks that begin before this one's.
  std::int64_t add(std::int64_t position, std::int64_t length, std::int64_t count) {
    wait_for(position);
    const std::int64_t before = items_;
    items_ = before + count;
    turn_.store(position + length, std::memory_order_release);
    return before;
  }

  std::int64_t items() const noexcept { return items_; }  // after the loop

 private:
  static constexpr int kSpins = 1000;

  void wait_for(std::int64_t position) const {
    for (int spin = 0; turn_.load(std::memory_order_acquire) != position; ++spin) {
      if (loop_is_stopped()) throw Interrupted();
      if (spin < kSpins)
        pause_briefly();
      else
        std::this_thread::yield();  // the thread that is waited for may have no core
    }
  }

  std::atomic<std::int64_t> turn_{0};
  std::int64_t items_ = 0;  // written by the block whose turn it is
};

}  // namespace tersor
