// The table that _core calls: device and error handling around the families' launchers.

#include <array>
#include <atomic>
#include <mutex>

#include "cuda/launch.h"

namespace tersor::cuda {

namespace {

constexpr int kMostDevices = 64;

const char* attribute(cudaDeviceAttr name, int device, int& value) noexcept {
  return text_of(cudaDeviceGetAttribute(&value, name, device));
}

// By attributes, one by one: cudaGetDeviceProperties takes milliseconds.
const char* read_limits(int device, DeviceLimits& limits) noexcept {
  int major = 0;
  const char* error = attribute(cudaDevAttrComputeCapabilityMajor, device, major);
  limits.has_clusters = major >= 9;
  if (!error) error = attribute(cudaDevAttrMultiProcessorCount, device, limits.multiprocessors);
  if (!error) error = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device, limits.shared_bytes);
  if (!error) error = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor, device, limits.shared_bytes_of_a_multiprocessor);
  return error;
}

struct DeviceState {
  std::atomic<bool> ready{false};
  DeviceLimits limits{};
};
std::array<DeviceState, kMostDevices> states;
std::mutex preparing;

// Once a device: its limits, and every kernel loaded and allowed its shared memory. After an error the next call tries again.
const char* prepare(int device, DeviceState& state) noexcept {
  const std::scoped_lock lock(preparing);
  if (state.ready.load(std::memory_order_relaxed)) return nullptr;
  const char* error = read_limits(device, state.limits);
  if (!error) error = warm_up_prune(state.limits);
  if (!error) error = warm_up_quantize(state.limits);
  if (!error) error = warm_up_softmax(state.limits);
  if (!error) state.ready.store(true, std::memory_order_release);
  return error;
}

// Runs `use(limits)` with `device` current, and puts the caller's device back.
template <class Use>
const char* with_device(int device, Use use) noexcept {
  if (device < 0 || device >= kMostDevices) return "no such CUDA device";
  int callers = 0;
  if (const char* error = text_of(cudaGetDevice(&callers))) return error;
  if (callers != device)
    if (const char* error = text_of(cudaSetDevice(device))) return error;
  DeviceState& state = states[static_cast<std::size_t>(device)];
  const char* error = state.ready.load(std::memory_order_acquire) ? nullptr : prepare(device, state);
  if (!error) error = use(state.limits);
  if (callers != device) {
    const char* error_back = text_of(cudaSetDevice(callers));
    if (!error) error = error_back;
  }
  return error;
}

template <auto kLauncher, class Params>
const char* run(const Params& params, void* stream, int device) noexcept {
  return with_device(
      device, [&](const DeviceLimits& limits) noexcept { return kLauncher(params, limits, static_cast<cudaStream_t>(stream)); });
}

const char* warm_up(int device) noexcept {
  return with_device(device, [](const DeviceLimits&) noexcept -> const char* { return nullptr; });
}

}  // namespace

const Backend& backend() noexcept {
  static constexpr Backend kBackend{Backend::kVersion, run<prune_threshold, PruneThresholdParams>,
                                    run<quantize_int8, QuantizeInt8Params>, run<softmax, SoftmaxParams>, warm_up};
  return kBackend;
}

}  // namespace tersor::cuda
