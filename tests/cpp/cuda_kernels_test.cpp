// The CUDA kernels and launchers themselves, compiled by g++ and run by the emulator, from views through plans to results: every
// dtype, every mapping, layouts, tails, special values, temperatures. Results are compared with plain loops.

#include <cmath>
#include <limits>

#include "core/check.h"
#include "cuda/launch.h"
#include "cuda_arrays.h"
#include "ops/cuda_launch.h"

using namespace tersor;
using arrays::Array;
using arrays::Layout;
using arrays::row_items;
using arrays::text;

namespace {

using Shape = std::vector<std::int64_t>;

constexpr double kInf = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();
constexpr DType kDtypes[] = {DType::kFloat32, DType::kFloat16, DType::kBFloat16, DType::kFloat64};
const Layout kDense{"dense", {}, 0, 1, 0, false};
const Layout kLayouts[] = {
    kDense,
    {"one item in", {}, 0, 1, 1, false},
    {"five items in", {}, 0, 1, 5, false},
    {"padded rows", {}, 3, 1, 0, false},
    {"padded to 16 bytes", {}, 8, 1, 0, false},
    {"every second", {}, 0, 2, 1, false},
    {"reversed", {}, 1, 1, 0, true},
    {"column order", {0, 1}, 0, 1, 0, false},
    {"column order, padded", {0, 1}, 5, 1, 3, false},
};

double normal() {
  static std::normal_distribution<double> distribution(0, 2);
  return distribution(generator);
}

// Under the address sanitizer fibers are twenty times slower: one case in ten then.
bool is_left_out() {
#if defined(__SANITIZE_ADDRESS__)
  static int count = 0;
  return count++ % 10 != 0;
#else
  return false;
#endif
}

void fill(Array& array, double (*value)(std::int64_t)) {
  for (std::int64_t i = 0; i < array.size(); ++i) array.set(i, value(i));
}

double some_special(std::int64_t i) {
  constexpr double kValues[] = {0.0, -0.0, kInf, -kInf, kNan, 1e-40, -1e-310, 0.5, 65504};
  return i % 11 == 3 ? kValues[static_cast<std::size_t>(generator() % 9)] : normal();
}

// --- prune ---------------------------------------------------------------------------------------------------------------------

std::uint64_t magnitude_bits(DType dtype, std::uint64_t bits) {
  return bits & ((std::uint64_t{1} << (8 * item_size(dtype) - 1)) - 1);
}

void check_prune(Check& check, DType dtype, const Shape& shape, const Layout& in, const Layout& to, bool in_place) {
  if (is_left_out()) return;
  Array w(dtype, shape, in), separate(dtype, shape, to);
  fill(w, some_special);
  Array pivot(dtype, {1});
  pivot.set(0, 0.75);
  const std::uint64_t least = pivot.bits(0);
  std::vector<std::uint64_t> wanted;
  for (std::int64_t i = 0; i < w.size(); ++i) wanted.push_back(magnitude_bits(dtype, w.bits(i)) >= least ? w.bits(i) : 0);
  Array& out = in_place ? w : separate;
  launch_prune_threshold(plan_elements({{w.view()}, {out.view(), Columns::kEach, Access::kWrite}}), w.view(), least);
  for (std::int64_t i = 0; i < w.size(); ++i)
    check.that(out.bits(i) == wanted[static_cast<std::size_t>(i)], "%s %s, %s to %s: item %lld", name_of(dtype), text(shape),
               in.name.c_str(), to.name.c_str(), static_cast<long long>(i));
  check.that(out.surroundings_are_untouched(), "%s %s, %s to %s: writes beside the array", name_of(dtype), text(shape),
             in.name.c_str(), to.name.c_str());
}

void test_prune() {
  Check sizes("prune: sizes"), layouts("prune: layouts"), in_place("prune: in place");
  for (const DType dtype : kDtypes) {
    for (const std::int64_t size : {0, 1, 7, 8, 9, 63, 64, 1000, 4096, 8192, 8193, 40000})
      for (const Layout& layout : {kLayouts[0], kLayouts[1], kLayouts[2]}) {
        check_prune(sizes, dtype, {size}, layout, kDense, false);
        check_prune(in_place, dtype, {size}, layout, layout, true);
      }
    for (const Shape& shape : {Shape{37, 1}, Shape{5, 3}, Shape{70, 33}, Shape{3, 5000}})
      for (const Layout& in : kLayouts)
        for (const Layout& to : kLayouts) check_prune(layouts, dtype, shape, in, to, false);
    check_prune(layouts, dtype, {3, 4, 5, 6}, {"axes in any order", {2, 0, 3, 1}, 1, 1, 2, false}, kDense, false);
  }
}

// --- quantize ------------------------------------------------------------------------------------------------------------------

template <class Math>
void check_codes(Check& check, const Array& w, const Array& q, const Array& scale, int axis, const char* name) {
  for (std::int64_t row = 0; row < scale.size(); ++row) {
    Math absmax = 0;
    for (const std::int64_t i : row_items(w.view(), axis, row))
      if (std::isfinite(w.get(i))) absmax = std::max(absmax, static_cast<Math>(std::fabs(w.get(i))));
    Math wanted_scale = absmax / 127;
    if (wanted_scale == 0) wanted_scale = 1;
    check.that(scale.get(row) == double(wanted_scale), "%s: scale of row %lld is %g, wanted %g", name, static_cast<long long>(row),
               scale.get(row), double(wanted_scale));
    for (const std::int64_t i : row_items(w.view(), axis, row)) {
      const Math x = static_cast<Math>(w.get(i));
      const double wanted = std::isnan(x) ? 0 : std::min(127.0, std::max(-127.0, double(std::nearbyint(x / wanted_scale))));
      check.that(q.get(i) == wanted, "%s: item %lld is %g, wanted %g", name, static_cast<long long>(i), q.get(i), wanted);
    }
  }
}

void check_quantize(Check& check, DType dtype, const Shape& shape, int axis, const Layout& in, const Layout& to,
                    double (*value)(std::int64_t)) {
  if (is_left_out()) return;
  Shape scale_shape = shape;
  scale_shape[static_cast<std::size_t>(axis)] = 1;
  Array w(dtype, shape, in), q(DType::kInt8, shape, to),
      scale(arithmetic_dtype(dtype), scale_shape, Layout{"", {}, 1, 1, 0, false});
  fill(w, value);
  launch_quantize_int8(
      plan_rows({{w.view()}, {q.view(), Columns::kEach, Access::kWrite}, {scale.view(), Columns::kNone, Access::kWrite}}, axis),
      w.view());
  const std::string name =
      std::string(name_of(dtype)) + " " + text(shape) + " axis " + std::to_string(axis) + ", " + in.name + " to " + to.name;
  if (dtype == DType::kFloat64)
    check_codes<double>(check, w, q, scale, axis, name.c_str());
  else
    check_codes<float>(check, w, q, scale, axis, name.c_str());
  check.that(q.surroundings_are_untouched() && scale.surroundings_are_untouched(), "%s: writes beside the array", name.c_str());
}

void test_quantize() {
  Check sizes("quantize: sizes"), specials("quantize: NaN, infinities, extreme scales"), layouts("quantize: layouts and axes");
  const auto plain = [](std::int64_t) { return normal(); };
  for (const DType dtype : kDtypes) {
    for (const std::int64_t cols :
         {0, 1, 3, 8, 9, 64, 100, 128, 129, 500, 513, 1000, 2048, 2049, 3000, 4096, 11008, 16391, 40000}) {
      const std::int64_t rows = cols > 5000 ? 2 : 9;
      check_quantize(sizes, dtype, {rows, cols}, 1, kDense, kDense, plain);
      check_quantize(specials, dtype, {rows, cols}, 1, kLayouts[1], kDense, some_special);
    }
    for (const double tiny : {1e-300, 1e-44, 1e-39, 1e-30, 1e30, 1e300}) {
      static double factor;
      factor = tiny;
      check_quantize(specials, dtype, {5, 200}, 1, kDense, kDense, [](std::int64_t) { return factor * normal(); });
    }
    for (const Shape& shape : {Shape{33, 70}, Shape{40, 5}, Shape{4, 2100}})
      for (const int axis : {0, 1})
        for (const Layout& in : kLayouts) {
          check_quantize(layouts, dtype, shape, axis, in, kDense, some_special);
          check_quantize(layouts, dtype, shape, axis, kDense, in, some_special);
          check_quantize(layouts, dtype, shape, axis, in, in, some_special);
        }
    for (const int axis : {0, 1, 2, 3})
      check_quantize(layouts, dtype, {3, 4, 5, 6}, axis, {"any order", {2, 0, 3, 1}, 1, 1, 2, false}, kDense, plain);
  }
}

// --- softmax -------------------------------------------------------------------------------------------------------------------

using Exact = long double;

// The specification's own words, in long double; t may be a limit.
std::vector<Exact> softmax_of(const std::vector<Exact>& x, double t) {
  Exact top = -kInf, sum = 0;
  bool nan = !(t >= 0);
  for (const Exact value : x) {
    top = std::max(top, value);
    nan |= std::isnan(value);
  }
  nan |= top == -kInf || (top == kInf && t > 0);
  std::vector<Exact> share;
  Exact lost = 0;  // by the additions: 2**18 of them would cost several ULP of float64
  for (const Exact value : x) {
    Exact term = std::exp((value - top) / static_cast<Exact>(t));
    if (std::isinf(t)) term = value == -kInf ? 0 : 1;
    if (t == 0) term = value == top ? 1 : 0;
    share.push_back(nan ? static_cast<Exact>(kNan) : term);
    const Exact next = sum + (term - lost);
    lost = (next - sum) - (term - lost);
    sum = next;
  }
  for (Exact& value : share) value /= sum;
  return share;
}

Exact ulp(DType dtype, Exact value) {
  const auto [digits, least] = dtype == DType::kFloat64    ? std::pair(53, -1022)
                               : dtype == DType::kFloat32  ? std::pair(24, -126)
                               : dtype == DType::kBFloat16 ? std::pair(8, -126)
                                                           : std::pair(11, -14);
  int exponent;
  std::frexp(value, &exponent);
  return std::ldexp(Exact{1}, std::max(exponent - 1, least) - (digits - 1));
}

Exact bound_of(DType dtype, Exact value) {
  if (dtype == DType::kFloat32 || dtype == DType::kFloat64) return 2.8L * ulp(dtype, value);
  return 0.52L * ulp(dtype, value);
}

constexpr std::uint64_t canonical_nan(DType dtype) {
  switch (dtype) {
    case DType::kFloat16: return 0x7e00;
    case DType::kBFloat16: return 0x7fc0;
    case DType::kFloat64: return 0x7ff8000000000000;
    default: return 0x7fc00000;
  }
}

void check_shares(Check& check, const Array& out, const std::vector<Exact>& x, const std::vector<std::int64_t>& items, double t,
                  const std::string& name) {
  const std::vector<Exact> wanted = softmax_of(x, t);
  const DType dtype = out.view().dtype;
  for (std::size_t k = 0; k < items.size(); ++k) {
    const bool ok = std::isnan(wanted[k])
                        ? out.bits(items[k]) == canonical_nan(dtype)
                        : std::fabs(static_cast<Exact>(out.get(items[k])) - wanted[k]) <= bound_of(dtype, wanted[k]);
    check.that(ok, "%s, T = %g: item %lld is %g (%#llx), wanted %Lg", name.c_str(), t, static_cast<long long>(items[k]),
               out.get(items[k]), static_cast<unsigned long long>(out.bits(items[k])), wanted[k]);
  }
}

struct SoftmaxCase {
  DType dtype;
  Shape shape;
  int axis = 1;
  Layout in = kDense, to = kDense;
  double t = 1;
  std::vector<double> temperatures;  // one a row, instead of t
  double (*value)(std::int64_t) = [](std::int64_t) { return normal(); };
  bool in_place = false;
  int device = 0;
  const cuda::DeviceLimits* limits = nullptr;  // instead of the device's
};

void check_softmax(Check& check, const SoftmaxCase& test) {
  if (is_left_out()) return;
  Shape rows_shape = test.shape;
  rows_shape[static_cast<std::size_t>(test.axis)] = 1;
  Array x(test.dtype, test.shape, test.in), separate(test.dtype, test.shape, test.to),
      temperature(DType::kFloat64, rows_shape, Layout{"", {}, 2, 1, 0, false});
  Array& out = test.in_place ? x : separate;
  x.view().device.index = test.device;
  fill(x, test.value);
  std::vector<std::vector<Exact>> values;
  std::vector<std::vector<std::int64_t>> items;
  const std::int64_t rows = x.size() ? x.size() / test.shape[static_cast<std::size_t>(test.axis)] : 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    items.push_back(row_items(x.view(), test.axis, row));
    values.emplace_back();
    for (const std::int64_t i : items.back()) values.back().push_back(static_cast<Exact>(x.get(i)));
    if (!test.temperatures.empty())
      temperature.set(row, test.temperatures[static_cast<std::size_t>(row) % test.temperatures.size()]);
  }
  View spread = temperature.view();
  spread.shape[test.axis] = test.shape[static_cast<std::size_t>(test.axis)];
  spread.stride_bytes[test.axis] = 0;
  const OperandSpec result{out.view(), Columns::kEach, Access::kWrite};
  if (test.limits) {
    const cuda::SoftmaxParams params{test.dtype,
                                     {test.shape[0], test.shape[1], 1, {test.shape[0]}},
                                     {x.view().data, 1, {test.shape[1]}},
                                     {out.view().data, 1, {test.shape[1]}},
                                     test.t,
                                     {}};
    check.that(cuda::softmax(params, *test.limits, nullptr) == nullptr, "launch");
  } else if (test.temperatures.empty()) {
    launch_softmax(plan_rows({{x.view()}, result}, test.axis), x.view(), test.t);
  } else {
    launch_softmax(plan_rows({{x.view()}, result, {spread, Columns::kNone}}, test.axis), x.view());
  }
  const std::string name = std::string(name_of(test.dtype)) + " " + text(test.shape) + " axis " + std::to_string(test.axis) + ", " +
                           test.in.name + " to " + test.to.name;
  for (std::size_t row = 0; row < items.size(); ++row)
    check_shares(check, out, values[row], items[row],
                 test.temperatures.empty() ? test.t : temperature.get(static_cast<std::int64_t>(row)), name);
  check.that(out.surroundings_are_untouched(), "%s: writes beside the array", name.c_str());
}

double logit(std::int64_t i) { return i % 5 == 1 ? -kInf : normal() * 4; }
double far_logit(std::int64_t i) { return 3000 + normal() * 4 + static_cast<double>(i % 3) * 20; }

// Some rows finite, some with NaN, +inf, -inf alone.
double any_row(std::int64_t i) {
  const std::int64_t row = i / 40;
  if (row % 5 == 1 && i % 40 == 7) return kNan;
  if (row % 5 == 2 && i % 40 > 30) return kInf;
  if (row % 5 == 3) return -kInf;
  return logit(i);
}

void test_softmax_sizes() {
  Check lanes("softmax: rows of lanes"), slices("softmax: rows of blocks and clusters"), loop("softmax: rows read twice"),
      older("softmax: no clusters");
  for (const DType dtype : kDtypes) {
    for (const std::int64_t cols :
         {1, 2, 7, 8, 9, 31, 33, 64, 65, 100, 127, 128, 129, 255, 256, 257, 300, 512, 700, 1000, 1024, 1025, 2041, 2048})
      for (const Layout& layout : {kLayouts[0], kLayouts[1], kLayouts[2]})
        check_softmax(lanes, {.dtype = dtype, .shape = {6, cols}, .in = layout, .t = 0.7, .value = logit});
    for (const std::int64_t cols : {2049, 3000, 4096, 4099, 11008, 32000}) {
      check_softmax(slices, {.dtype = dtype, .shape = {3, cols}, .t = 1.3, .value = logit});
      check_softmax(slices, {.dtype = dtype, .shape = {2, cols}, .in = kLayouts[1], .to = kLayouts[2], .value = far_logit});
      check_softmax(slices, {.dtype = dtype, .shape = {2, cols}, .in = kLayouts[5], .in_place = true});
      check_softmax(older, {.dtype = dtype, .shape = {2, cols}, .t = 2, .value = logit, .device = 1});
    }
    for (const std::int64_t cols : {50257, 151936, 262144}) {
      emulator::log.ranks = 0;
      check_softmax(slices, {.dtype = dtype, .shape = {1, cols}, .value = logit});
      const unsigned wanted = dtype == DType::kFloat64 && cols == 262144 ? 1 : 8;  // more than a cluster's shared memory
      slices.that(emulator::log.ranks == wanted || emulator::log.ranks == 0, "%lld columns on %u blocks",
                  static_cast<long long>(cols), emulator::log.ranks);
      emulator::log.ranks = 0;
      check_softmax(older, {.dtype = dtype, .shape = {1, cols}, .value = logit, .device = 1});
      older.that(emulator::log.ranks <= 1, "%lld columns on %u blocks", static_cast<long long>(cols), emulator::log.ranks);
    }
    static constexpr cuda::DeviceLimits kSmall{132, 4 << 10, 12 << 10, true}, kNone{132, 2 << 10, 12 << 10, false};
    for (const std::int64_t cols : {2049, 2500, 4000, 7000})
      check_softmax(slices, {.dtype = dtype, .shape = {200, cols}, .value = logit, .limits = &kSmall});
    for (const std::int64_t cols : {2049, 5000, 20001})
      for (const double t : {0.3, 1.0, 0.0, kInf})
        for (const auto value : {logit, far_logit})
          check_softmax(loop, {.dtype = dtype, .shape = {2, cols}, .t = t, .value = value, .limits = &kNone});
  }
}

void test_softmax_layouts() {
  Check layouts("softmax: layouts and axes"), in_place("softmax: in place");
  for (const DType dtype : kDtypes) {
    for (const Shape& shape : {Shape{33, 70}, Shape{40, 5}, Shape{5, 2100}})
      for (const int axis : {0, 1})
        for (const Layout& layout : kLayouts) {
          check_softmax(layouts, {.dtype = dtype, .shape = shape, .axis = axis, .in = layout});
          check_softmax(layouts, {.dtype = dtype, .shape = shape, .axis = axis, .to = layout});
          check_softmax(
              layouts,
              {.dtype = dtype, .shape = shape, .axis = axis, .in = layout, .to = layout, .temperatures = {0.5, 1, 3, 0, kInf}});
          check_softmax(in_place, {.dtype = dtype, .shape = shape, .axis = axis, .in = layout, .in_place = true});
        }
    for (const int axis : {0, 1, 2, 3})
      check_softmax(layouts, {.dtype = dtype,
                              .shape = {3, 4, 5, 6},
                              .axis = axis,
                              .in = {"any order", {2, 0, 3, 1}, 1, 1, 2, false},
                              .temperatures = {0.5, 1, 3, 7}});
    for (const Shape& shape : {Shape{0, 5}, Shape{5, 0}}) check_softmax(layouts, {.dtype = dtype, .shape = shape});
  }
}

void test_softmax_values() {
  Check temperatures("softmax: temperatures"), rows("softmax: NaN, +inf and rows of -inf"),
      each("softmax: a temperature a row, invalid ones too");
  for (const DType dtype : kDtypes)
    for (const Shape& shape : {Shape{10, 40}, Shape{10, 400}, Shape{3, 2400}}) {
      for (const double t : {0.0, -0.0, 1e-300, 1e-60, 1e-25, 0.01, 1.0, 50.0, 1e25, 1e60, 1e300, kInf}) {
        check_softmax(temperatures, {.dtype = dtype, .shape = shape, .t = t, .value = logit});
        check_softmax(rows, {.dtype = dtype, .shape = shape, .t = t, .value = any_row});
        check_softmax(rows, {.dtype = dtype, .shape = shape, .axis = 0, .t = t, .value = any_row});
      }
      check_softmax(
          each,
          {.dtype = dtype, .shape = shape, .temperatures = {1, 0, kInf, -1, kNan, 0.2, 1e-70, -kInf, 1e70, 5}, .value = logit});
      check_softmax(each, {.dtype = dtype,
                           .shape = shape,
                           .axis = 0,
                           .temperatures = {1, 0, kInf, -1, kNan, 0.2, 1e-70, -kInf, 1e70, 5},
                           .value = logit});
    }
}

// --- the seam
// ----------------------------------------------------------------------------------------------------------------------

template <class Error>
std::string message_of(void (*call)()) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void test_seam() {
  Check check("errors and streams");
  const auto softmax_of_two = [] {
    Array x(DType::kFloat32, {2, 3});
    fill(x, logit);
    x.view().stream = reinterpret_cast<void*>(0x5);
    launch_softmax(plan_rows({{x.view()}, {x.view(), Columns::kEach, Access::kWrite}}, 1), x.view(), 1);
  };
  softmax_of_two();
  check.that(emulator::log.stream == reinterpret_cast<cudaStream_t>(0x5), "the caller's stream");
  set_cuda_backend(nullptr);
  check.that(message_of<ValueError>(softmax_of_two).find("no CUDA kernels") != std::string::npos, "without a backend");
  set_cuda_backend(&cuda::backend());
  check.that(message_of<ValueError>([] {
               Array x(DType::kInt8, {2, 3});
               launch_softmax(plan_rows({{x.view()}, {x.view(), Columns::kEach, Access::kWrite}}, 1), x.view(), 1);
             }).find("floating-point") != std::string::npos,
             "int8");
  check.that(message_of<ValueError>([] {
               Array x(DType::kFloat32, {2, 3});
               x.view().device.index = 63;
               launch_softmax(plan_rows({{x.view()}, {x.view(), Columns::kEach, Access::kWrite}}, 1), x.view(), 1);
             }).find("invalid device") != std::string::npos,
             "no such device");
  check.that(message_of<TypeError>([] {
               Array x(DType::kFloat32, {2, 3});
               x.view().data += 1;
               launch_softmax(plan_rows({{x.view()}, {x.view(), Columns::kEach, Access::kWrite}}, 1), x.view(), 1);
             }).find("multiples of their size") != std::string::npos,
             "a misaligned array");
  check.that(message_of<TypeError>([] {
               Array x(DType::kFloat32, {2, 2, 2, 2, 2, 2, 2, 2}, Layout{"", {}, 1, 1, 0, false});
               launch_softmax(plan_rows({{x.view()}, {x.view(), Columns::kEach, Access::kWrite}}, 7), x.view(), 1);
             }).find("7") != std::string::npos,
             "seven separate axes");
  int device = -1;
  cudaGetDevice(&device);
  check.that(device == 0, "the caller's device is put back: %d", device);
  check.that(cuda::backend().warm_up(1) == nullptr && cuda::backend().warm_up(64) != nullptr, "warm_up");
}

}  // namespace

int main() {
  set_cuda_backend(&cuda::backend());
  // Device 0 is like an H200, device 1 like an A100: limits are read with the first call.
  emulator::device = {9, 132, 227 << 10, 228 << 10};
  bool ok = cuda::backend().warm_up(0) == nullptr;
  emulator::device = {8, 108, 163 << 10, 164 << 10};
  ok = ok && cuda::backend().warm_up(1) == nullptr;
  emulator::device = {9, 132, 227 << 10, 228 << 10};
  ok = ok && cuda::warm_up_softmax({132, 227 << 10, 228 << 10, true}) == nullptr;
  Check("warm_up").that(ok, "fails");
  test_prune();
  test_quantize();
  test_softmax_sizes();
  test_softmax_layouts();
  test_softmax_values();
  test_seam();
  return finish();
}
