// csrc/bind/dlpack.h against the header that torch ships: the same fields at the same places. It compiles, or it does not; it is
// not run. test_interop.py hands it to the compiler where torch is installed.

#include <ATen/dlpack.h>

#include <cstddef>

#include "bind/dlpack.h"

using namespace tersor;

#define SAME_PLACE(ours, our_field, theirs, their_field)                              \
  static_assert(offsetof(dlpack::ours, our_field) == offsetof(theirs, their_field) && \
                sizeof(dlpack::ours::our_field) == sizeof(theirs::their_field))

static_assert(dlpack::kMajorVersion == DLPACK_MAJOR_VERSION);

static_assert(sizeof(dlpack::Tensor) == sizeof(DLTensor));
SAME_PLACE(Tensor, data, DLTensor, data);
SAME_PLACE(Tensor, device, DLTensor, device);
SAME_PLACE(Tensor, ndim, DLTensor, ndim);
SAME_PLACE(Tensor, dtype, DLTensor, dtype);
SAME_PLACE(Tensor, shape, DLTensor, shape);
SAME_PLACE(Tensor, strides, DLTensor, strides);
SAME_PLACE(Tensor, byte_offset, DLTensor, byte_offset);
SAME_PLACE(DataType, code, DLDataType, code);
SAME_PLACE(DataType, bits, DLDataType, bits);
SAME_PLACE(DataType, lanes, DLDataType, lanes);
SAME_PLACE(Device, code, DLDevice, device_type);
SAME_PLACE(Device, index, DLDevice, device_id);

static_assert(sizeof(dlpack::LegacyManagedTensor) == sizeof(DLManagedTensor));
SAME_PLACE(LegacyManagedTensor, tensor, DLManagedTensor, dl_tensor);
SAME_PLACE(LegacyManagedTensor, deleter, DLManagedTensor, deleter);

static_assert(sizeof(dlpack::ManagedTensor) == sizeof(DLManagedTensorVersioned));
SAME_PLACE(ManagedTensor, version, DLManagedTensorVersioned, version);
SAME_PLACE(ManagedTensor, deleter, DLManagedTensorVersioned, deleter);
SAME_PLACE(ManagedTensor, flags, DLManagedTensorVersioned, flags);
SAME_PLACE(ManagedTensor, tensor, DLManagedTensorVersioned, dl_tensor);
static_assert(dlpack::kReadOnly == DLPACK_FLAG_BITMASK_READ_ONLY);
static_assert(dlpack::kIsCopied == DLPACK_FLAG_BITMASK_IS_COPIED);

static_assert(int{dlpack::kCpu} == int{kDLCPU} && int{dlpack::kCuda} == int{kDLCUDA});
static_assert(int{dlpack::kCudaHost} == int{kDLCUDAHost} && int{dlpack::kCudaManaged} == int{kDLCUDAManaged});
static_assert(int{dlpack::kInt} == int{kDLInt} && int{dlpack::kUInt} == int{kDLUInt} && int{dlpack::kFloat} == int{kDLFloat});
static_assert(int{dlpack::kBfloat} == int{kDLBfloat} && int{dlpack::kComplex} == int{kDLComplex} &&
              int{dlpack::kBool} == int{kDLBool});

SAME_PLACE(ExchangeApi, version, DLPackExchangeAPI, header.version);
SAME_PLACE(ExchangeApi, previous, DLPackExchangeAPI, header.prev_api);
SAME_PLACE(ExchangeApi, view_object, DLPackExchangeAPI, dltensor_from_py_object_no_sync);
SAME_PLACE(ExchangeApi, current_stream, DLPackExchangeAPI, current_work_stream);
