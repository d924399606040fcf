#!/usr/bin/env bash
# Cross-builds the core, the kernels and their C++ tests for aarch64 and runs them under qemu-aarch64. Needs Debian's packages
# g++-aarch64-linux-gnu and qemu-user.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in aarch64-linux-gnu-g++ qemu-aarch64; do
  if ! command -v "$tool" >/dev/null; then
    echo "$tool is missing: apt-get install g++-aarch64-linux-gnu qemu-user" >&2
    exit 1
  fi
done
build=build-other/aarch64  # not below build/, where the tests look for what is installed
.venv/bin/python -m cmake -S . -B "$build" -G Ninja -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_CROSSCOMPILING_EMULATOR="qemu-aarch64;-L;/usr/aarch64-linux-gnu" \
  -DTERSOR_PYTHON=OFF -DTERSOR_CPP_TESTS=ON -DTERSOR_CUDA=OFF
.venv/bin/python -m cmake --build "$build"
cd "$build"
# The SIMD layer, every op against the hashes of the other architecture, and what the CUDA kernels share with the host. Their
# emulator is a test of the host that builds them.
../../.venv/bin/ctest --output-on-failure --exclude-regex cuda_kernels_test
