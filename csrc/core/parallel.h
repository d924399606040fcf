#pragma once
// Loops over chunks on an own pool of threads. Why not OpenMP: libgomp hangs in a forked child, and its static split waits a
// scheduler slice for a descheduled worker.

#include <cstdint>

#include "core/function_ref.h"

namespace tersor {

// Calls body(chunk) once for each chunk in [0, chunks), on up to num_threads() threads, the caller among them. Chunks begin in
// order, and a chunk that has begun is on a thread of its own: a later one may wait for it, as long as it asks loop_is_stopped().
// What a chunk is must depend on the problem alone, never on the thread count: that keeps results the same.
// Nested calls run serially. The first exception thrown by a chunk is rethrown here, once every started chunk has ended.
void parallel_for(std::int64_t chunks, FunctionRef<void(std::int64_t)> body);

// Whether the loop that the calling thread works on has failed or been interrupted: what a chunk waits for may never come then.
bool loop_is_stopped() noexcept;

// Tells the CPU that this thread waits for another, in a loop that asks again at once.
void pause_briefly() noexcept;

// TERSOR_NUM_THREADS, else the least of affinity, cgroup quota and OMP_NUM_THREADS, until set.
int num_threads() noexcept;
void set_num_threads(int count);  // ValueError below 1

// Asked about every 10 ms on the calling thread of a long loop; true stops the loop with Interrupted.
using InterruptPoll = bool (*)();
void set_interrupt_poll(InterruptPoll poll) noexcept;

}  // namespace tersor
