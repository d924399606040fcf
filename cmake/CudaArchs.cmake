# The optional module _cuda. TERSOR_CUDA=AUTO builds it where an nvcc is found that works, ON demands that, OFF leaves it out.
#
# Machine code for every architecture of the list, and PTX for the newest, which later cards compile at start. sm_86 and sm_89 run
# sm_80's code. One architecture builds four times as fast: -DCMAKE_CUDA_ARCHITECTURES=90, or native.

set(TERSOR_CUDA AUTO CACHE STRING "Build the CUDA kernels: AUTO, ON or OFF")
set_property(CACHE TERSOR_CUDA PROPERTY STRINGS AUTO ON OFF)

# A multiplication and an addition fuse only where the source says so: the host tests check the very operations that a GPU does.
set(TERSOR_CUDA_FLAGS -fmad=false -Xfatbin=-compress-all)

# Compiles a kernel with nvcc itself: enable_language would end the configuration of a machine whose nvcc does not work.
function(tersor_probe_nvcc nvcc reason_variable version_variable)
  set(folder "${CMAKE_CURRENT_BINARY_DIR}/cuda_probe")
  file(WRITE "${folder}/probe.cu" "#include <cuda_runtime.h>\n#include <type_traits>\n"
    "template <class T> __global__ void set(T* to) { if constexpr (std::is_same_v<T, int>) *to = 1; }\n"
    "template __global__ void set<int>(int*);\n")
  execute_process(COMMAND "${nvcc}" --version OUTPUT_VARIABLE banner ERROR_QUIET)
  string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" ignored "${banner}")
  set(version "${CMAKE_MATCH_1}")
  set(${version_variable} "${version}" PARENT_SCOPE)
  if(NOT version VERSION_GREATER_EQUAL 12.0)
    set(${reason_variable} "${nvcc} is CUDA '${version}', and tersor needs 12.0" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND "${nvcc}" -std=c++17 ${TERSOR_CUDA_FLAGS} -c "${folder}/probe.cu" -o "${folder}/probe.o"
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(result EQUAL 0)
    set(${reason_variable} "" PARENT_SCOPE)
  else()
    string(STRIP "${output}" output)
    set(${reason_variable} "${nvcc} does not compile a small kernel: ${output}" PARENT_SCOPE)
  endif()
endfunction()

set(TERSOR_CUDA_FOUND OFF)
if(TERSOR_CUDA)
  include(CheckLanguage)
  check_language(CUDA)
  set(reason "no working nvcc was found")
  if(CMAKE_CUDA_COMPILER)
    tersor_probe_nvcc("${CMAKE_CUDA_COMPILER}" reason version)
  endif()
  if(NOT reason)
    if(NOT CMAKE_CUDA_ARCHITECTURES)
      if(version VERSION_GREATER_EQUAL 12.8)
        set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100-real 120)
      else()
        set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
      endif()
    endif()
    enable_language(CUDA)
    find_package(CUDAToolkit)
    if(NOT TARGET CUDA::cudart_static)
      set(reason "${CMAKE_CUDA_COMPILER} comes without the static runtime, libcudart_static.a")
    endif()
  endif()
  if(NOT reason)
    set(TERSOR_CUDA_FOUND ON)
    message(STATUS "tersor: CUDA ${version} for ${CMAKE_CUDA_ARCHITECTURES}")
  elseif(TERSOR_CUDA STREQUAL "AUTO")
    message(STATUS "tersor: without CUDA kernels, since ${reason}")
  else()
    message(FATAL_ERROR "TERSOR_CUDA=${TERSOR_CUDA}, but ${reason}")
  endif()
endif()

# After pybind11 is found. Does nothing where CUDA is not.
function(tersor_add_cuda_module)
  if(NOT TERSOR_CUDA_FOUND)
    return()
  endif()
  add_library(tersor_cuda_kernels OBJECT
    csrc/cuda/prune.cu
    csrc/cuda/quantize.cu
    csrc/cuda/softmax.cu)
  target_include_directories(tersor_cuda_kernels PRIVATE csrc)
  target_compile_options(tersor_cuda_kernels PRIVATE ${TERSOR_CUDA_FLAGS} --threads=2)
  # C++17 is all that the kernels need, and Debian 12's CMake does not know that CUDA 13 takes C++20.
  set_target_properties(tersor_cuda_kernels PROPERTIES
    CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON CUDA_EXTENSIONS OFF CUDA_VISIBILITY_PRESET hidden)

  # NO_EXTRAS: no link-time optimization, which nvcc's objects cannot take part in.
  pybind11_add_module(_cuda MODULE NO_EXTRAS
    csrc/bind/cuda_module.cpp
    csrc/cuda/backend.cpp
    $<TARGET_OBJECTS:tersor_cuda_kernels>)
  target_include_directories(_cuda PRIVATE csrc)
  string(REPLACE ";" " " architectures "${CMAKE_CUDA_ARCHITECTURES}")
  target_compile_definitions(_cuda PRIVATE TERSOR_CUDA_ARCHITECTURES="${architectures}")
  target_compile_options(_cuda PRIVATE -Wno-unknown-pragmas)
  # The runtime is linked statically and kept to ourselves: the module loads on machines without a driver, beside any other copy.
  target_link_libraries(_cuda PRIVATE CUDA::cudart_static tersor_warnings)
  target_link_options(_cuda PRIVATE LINKER:--exclude-libs,ALL $<$<CONFIG:Release>:LINKER:--strip-all>)
  set_target_properties(_cuda PROPERTIES LINKER_LANGUAGE CXX)
  install(TARGETS _cuda DESTINATION tersor)
endfunction()
