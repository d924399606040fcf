# -DTERSOR_SANITIZE=address (with undefined behaviour) or thread: the whole build, kernels included.
set(TERSOR_SANITIZE "" CACHE STRING "Sanitizer: empty, address or thread")
if(TERSOR_SANITIZE STREQUAL "address")
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=address,undefined> $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>
    $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>)
  add_link_options(-fsanitize=address,undefined)
elseif(TERSOR_SANITIZE STREQUAL "thread")
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fsanitize=thread> $<$<COMPILE_LANGUAGE:CXX>:-fno-omit-frame-pointer>)
  add_link_options(-fsanitize=thread)
elseif(TERSOR_SANITIZE)
  message(FATAL_ERROR "TERSOR_SANITIZE is '${TERSOR_SANITIZE}'; it must be empty, address or thread")
endif()
