# CPU levels: each family's kernels are compiled once per level, into an OBJECT library of that level's own. Instruction-set flags
# stand here and nowhere else; core/cpu_level.cpp asks the machine for exactly what these flags let the compiler use.

include(CheckCXXCompilerFlag)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
  set(TERSOR_CPU_LEVELS neon)
  set(TERSOR_FLAGS_neon -march=armv8.2-a)
  set(TERSOR_INTRINSICS <arm_neon.h>)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(TERSOR_CPU_LEVELS baseline avx2 avx512)
  set(TERSOR_INTRINSICS <immintrin.h>)
  set(TERSOR_FLAGS_baseline -march=x86-64-v2)
  set(TERSOR_FLAGS_avx2 -march=x86-64-v3)
  set(TERSOR_FLAGS_avx512 -march=x86-64-v4 -mavx512vnni -mavx512vbmi -mavx512vbmi2 -mavx512bitalg)
else()
  message(FATAL_ERROR "tersor has kernels for x86-64 and aarch64, not for ${CMAKE_SYSTEM_PROCESSOR}")
endif()

# What the same bits at every level rest on: a fused multiply-add only where it is written, no reassociation.
set(TERSOR_KERNEL_FLAGS $<IF:$<BOOL:${TERSOR_SANITIZE}>,-O1,-O3> -ffp-contract=off -fno-math-errno -fno-trapping-math
  -fno-exceptions -fno-rtti -fno-asynchronous-unwind-tables)
# Values that find no register live in memory, and GCC 12 takes a minute a file to follow them unless it is told when to stop. What
# it makes then is as fast, or, where registers are few, faster.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND TERSOR_KERNEL_FLAGS --param=sccvn-max-alias-queries-per-access=50)
endif()

foreach(level IN LISTS TERSOR_CPU_LEVELS)
  string(JOIN " " flags ${TERSOR_FLAGS_${level}})
  check_cxx_compiler_flag("${flags}" TERSOR_COMPILER_HAS_${level})
  if(NOT TERSOR_COMPILER_HAS_${level})
    message(FATAL_ERROR "the compiler does not take ${flags}: tersor needs GCC >= 12")
  endif()
endforeach()

# Compile options of one level, for a target that holds code of that level.
function(tersor_set_cpu_level target level)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/csrc")
  target_compile_definitions(${target} PRIVATE TERSOR_LEVEL=${level} TERSOR_LEVEL_IS_${level})
  target_compile_options(${target} PRIVATE ${TERSOR_FLAGS_${level}} ${TERSOR_KERNEL_FLAGS})
  # GCC 12 takes the undefined registers inside its own intrinsics for our mistakes. On the target, so that it comes after -Wall.
  set_property(TARGET ${target} APPEND PROPERTY COMPILE_OPTIONS -Wno-maybe-uninitialized -Wno-uninitialized)
  set_target_properties(${target} PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
endfunction()

function(tersor_add_cpu_levels library)
  foreach(level IN LISTS TERSOR_CPU_LEVELS)
    add_library(tersor_cpu_${level} OBJECT ${ARGN})
    tersor_set_cpu_level(tersor_cpu_${level} ${level})
    target_precompile_headers(tersor_cpu_${level} PRIVATE ${TERSOR_INTRINSICS})  # more than a second a file
    target_link_libraries(tersor_cpu_${level} PRIVATE tersor_warnings)
    target_sources(${library} PRIVATE $<TARGET_OBJECTS:tersor_cpu_${level}>)
  endforeach()
endfunction()
