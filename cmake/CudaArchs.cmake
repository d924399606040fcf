function(tersor_add_cuda_module)
endfunction()
