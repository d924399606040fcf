#pragma once
// The optional module tersor._cuda: loaded with the first CUDA array, so that a CPU machine never meets the CUDA runtime.

namespace tersor::bind {

// Hands the module's launchers to the ops, once. Throws TypeError about argument `name` where this build has none.
void require_cuda_backend(const char* name);

}  // namespace tersor::bind
