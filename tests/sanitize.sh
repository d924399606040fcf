#!/usr/bin/env bash
# The suite under a sanitizer: tests/sanitize.sh address (with undefined behaviour) or thread. A build of its own, its runtime loaded
# before Python's; CUDA is left out. Timing, memory and emulation tests skip themselves and say so.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:?address or thread}
python=.venv/bin/python
build=build-other/sanitize-$kind  # not below build/, where the tests look for what is installed
site=$build/site
"$python" -m cmake -S . -B "$build" -G Ninja -DTERSOR_SANITIZE="$kind" -DTERSOR_CUDA=OFF -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -Dpybind11_DIR="$("$python" -m pybind11 --cmakedir)" -DPython_EXECUTABLE="$PWD/$python"
"$python" -m cmake --build "$build" --target _core
mkdir -p "$site"
cp -r python/tersor "$site/"
cp "$build"/_core*.so "$site/tersor/"
case $kind in
  address) runtime=libasan.so ;;
  thread) runtime=libtsan.so ;;
esac
export LD_PRELOAD="$(g++ -print-file-name=$runtime) $(g++ -print-file-name=libstdc++.so)"
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc
export TSAN_OPTIONS="halt_on_error=1 suppressions=$PWD/tests/tsan.supp"
export PYTHONPATH="$PWD/$site"
# The import hook of an editable install would come before PYTHONPATH.
loaded=$("$python" -c "import tersor._core as core; print(core.__file__)")
if [[ $loaded != "$PWD/$site"/* ]]; then
  echo "$loaded would be tested: uninstall the editable tersor" >&2
  exit 1
fi
# Captured by Python alone: what a sanitizer says before it ends the process must come through. torch and its threads are not built
# for the sanitizers: what they do would be reported too.
exec "$python" -m pytest -q --capture=sys -p no:cacheprovider -n logical --maxprocesses 8 --dist worksteal \
  tests/test_prune.py tests/test_prune_ranked.py tests/test_prune_pattern.py tests/test_select.py tests/test_bitmask.py \
  tests/test_compress.py tests/test_compress_nm.py tests/test_quantize.py tests/test_quantize_groups.py \
  tests/test_quantize_search.py tests/test_quantize_fake.py tests/test_quantize_error.py tests/test_quantize_calibrate.py \
  tests/test_pack.py tests/test_formats.py tests/test_formats_words.py tests/test_formats_gguf.py tests/test_formats_float.py \
  tests/test_formats_onnx.py tests/test_formats_torchao.py \
  tests/test_structured.py tests/test_information.py tests/test_nats.py tests/test_matmul.py tests/test_softmax.py \
  tests/test_softmax_log.py tests/test_softmax_backward.py \
  tests/test_errors.py tests/test_threads.py tests/test_memory.py
