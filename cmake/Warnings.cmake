# Warnings for our own sources; the compiler's headers and pybind11's are system headers.
add_library(tersor_warnings INTERFACE)
target_compile_options(tersor_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Woverloaded-virtual>)
option(TERSOR_WERROR "Treat warnings as errors" OFF)
if(TERSOR_WERROR)
  target_compile_options(tersor_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
