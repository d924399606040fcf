// The extension module tersor._core. A new family adds its line here and in families.h.

#include <pybind11/pybind11.h>

#include "bind/array.h"
#include "bind/errors.h"
#include "bind/families.h"

PYBIND11_MODULE(_core, module, pybind11::multiple_interpreters::not_supported()) {
  using namespace tersor::bind;
  load_numpy();
  bind_errors(module);
  bind_prune(module);
  bind_prune_ranked(module);
  bind_prune_pattern(module);
  bind_bitmask(module);
  bind_compress(module);
  bind_quantize(module);
  bind_quantize_groups(module);
  bind_quantize_error(module);
  bind_quantize_fake(module);
  bind_quantize_calibrate(module);
  bind_pack(module);
  bind_formats_float(module);
  bind_formats_gguf(module);
  bind_formats_words(module);
  bind_select(module);
  bind_softmax(module);
  bind_structured(module);
  bind_information(module);
  bind_matmul(module);
  bind_runtime(module);
}
