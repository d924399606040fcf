# Tests of csrc/cuda that need neither nvcc nor a GPU.

# Not tersor_warnings: its -Wsign-conversion means the bounds of arrays in templates too, and nvcc's pragmas are unknown to g++.
set(TERSOR_CUDA_TEST_FLAGS -ffp-contract=off -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-unknown-pragmas
  -Wno-missing-field-initializers $<$<BOOL:${TERSOR_WERROR}>:-Werror>)

function(tersor_add_cuda_test name)
  add_executable(${name} ${name}.cpp ${ARGN})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/csrc" "${CMAKE_CURRENT_SOURCE_DIR}")
  target_compile_options(${name} PRIVATE ${TERSOR_CUDA_TEST_FLAGS})
  add_test(NAME ${name} COMMAND ${name})
endfunction()

tersor_add_cuda_test(cuda_host_test)
tersor_add_cuda_test(cuda_softmax_test)

# The kernels' own sources as plain C++, run by the emulator. Its fibers are beyond the thread sanitizer.
if(NOT TERSOR_SANITIZE STREQUAL "thread")
  set(cuda "${PROJECT_SOURCE_DIR}/csrc/cuda")
  set(kernels ${cuda}/prune.cu ${cuda}/quantize.cu ${cuda}/softmax.cu)
  add_library(tersor_cuda_emulated OBJECT ${kernels} ${cuda}/backend.cpp cuda_emulator/emulator.cpp)
  set_source_files_properties(${kernels} PROPERTIES LANGUAGE CXX)
  target_compile_options(tersor_cuda_emulated PRIVATE ${TERSOR_CUDA_TEST_FLAGS})
  target_include_directories(tersor_cuda_emulated PUBLIC "${PROJECT_SOURCE_DIR}/csrc" cuda_emulator)
  tersor_add_cuda_test(cuda_kernels_test)
  target_link_libraries(cuda_kernels_test PRIVATE tersor_cuda_emulated tersor_ops)
endif()
