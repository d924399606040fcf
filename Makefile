# Two commands do everything on a fresh machine with Python >= 3.10, a C++20 compiler and make: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One CUDA architecture where nvcc is found: the tests compile the kernels, a release builds them all (CMakePresets.json).
CUDA_ARCHITECTURES ?= 90
BUILD_ARGUMENTS := -C cmake.define.CMAKE_CUDA_ARCHITECTURES=$(CUDA_ARCHITECTURES) -C cmake.define.TERSOR_CPP_TESTS=ON
# Without --no-compile pip takes half of its time to compile modules that nobody imports.
INSTALL := pip install --quiet --no-compile
SOURCES := $(shell git ls-files csrc cmake python CMakeLists.txt pyproject.toml tests/cpp 2>/dev/null)

.PHONY: help test demo bench lint format sanitize test-arm clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

$(VENV)/python.stamp:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

# The build requirements stay in the environment, so that rebuilding needs no network.
$(VENV)/build.stamp: $(VENV)/python.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet "scikit-build-core>=1.0" "pybind11>=3.0.3,<4" "cmake>=3.25" ninja
	touch $@

$(VENV)/package.stamp: $(VENV)/build.stamp $(SOURCES)
	$(BIN)/python -m pip install --quiet --no-build-isolation $(BUILD_ARGUMENTS) .
	touch $@

# Two releases of compressed-tensors: the last one with the sparse formats, and, in a folder of its own, one with back ends. torchao
# is there too: transformers would load it.
$(VENV)/test.stamp: $(VENV)/package.stamp tests/requirements.txt
	$(BIN)/python -m $(INSTALL) -r tests/requirements.txt
	$(BIN)/python -m $(INSTALL) --no-deps --upgrade --target $(VENV)/backends compressed-tensors==0.20.0 torchao==0.18.0
	touch $@

$(VENV)/demo.stamp: $(VENV)/package.stamp demo/requirements.txt
	$(BIN)/python -m $(INSTALL) -r demo/requirements.txt
	touch $@

$(VENV)/bench.stamp: $(VENV)/package.stamp bench/requirements.txt
	$(BIN)/python -m $(INSTALL) -r bench/requirements.txt
	touch $@

test: $(VENV)/test.stamp lint  ## set everything up, lint, and run all tests
	$(BIN)/python -m pytest tests -n logical --maxprocesses 8 --dist worksteal

demo: $(VENV)/demo.stamp  ## compress two trained models; prints tables and writes a figure
	$(BIN)/python -m demo

bench: $(VENV)/bench.stamp  ## time every operation against the bandwidth floor and its peers
	$(BIN)/python -m bench.harness

lint: $(VENV)/test.stamp  ## ruff, mypy, stubtest, clang-format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict python/tersor
	$(BIN)/python -m mypy.stubtest tersor._core
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.cpp' '*.h' '*.cu' '*.cuh')

format: $(VENV)/test.stamp  ## rewrite the sources in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files '*.cpp' '*.h' '*.cu' '*.cuh')

sanitize: $(VENV)/test.stamp  ## the suite under ASan + UBSan, then under TSan
	tests/sanitize.sh address
	tests/sanitize.sh thread

test-arm: $(VENV)/test.stamp  ## cross-build the kernels for aarch64 and run them under qemu
	tests/test_arm.sh

clean:  ## remove everything that the targets made
	rm -rf $(VENV) build build-other dist demo/output
