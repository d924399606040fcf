#pragma once
// Checks of SIMD functions against scalar ones, lane by lane, and the values to try them on.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <string_view>
#include <type_traits>
#include <vector>

#include "cpu/simd.h"

namespace {

using namespace tersor::cpu::TERSOR_LEVEL;

int passed = 0, failed = 0;

// One check a lane would drown the count: a check is one property over all its inputs, and names the first that breaks it.
class Check {
 public:
  explicit Check(const char* name) : name_(name) {}
  ~Check() { ++(first_bad_.empty() ? passed : failed); }
  template <class T>
  void same(T got, T wanted, long long at) {
    if (std::memcmp(&got, &wanted, sizeof(T)) == 0 || !first_bad_.empty()) return;
    first_bad_ = name_;
    std::printf("FAILED %s: at %lld got %.17g, wanted %.17g\n", name_, at, static_cast<double>(got), static_cast<double>(wanted));
  }

 private:
  const char* name_;
  std::string_view first_bad_;
};

template <class T, int N>
void to_array(Lanes<T, N> lanes, T* values) {
  std::memcpy(values, lanes.reg, sizeof lanes.reg);
}

std::mt19937_64 generator(12345);

// Any bit pattern for half of the values, modest numbers for the rest.
template <class T>
std::vector<T> random_values(std::size_t count) {
  std::vector<T> values(count);
  std::normal_distribution<double> normal(0, 4);
  for (T& value : values) {
    const std::uint64_t word = generator();
    if constexpr (std::is_floating_point_v<T>) {
      if (word >> 63)
        value = static_cast<T>(normal(generator));
      else
        std::memcpy(&value, &word, sizeof value);
    } else {
      value = static_cast<T>(word);
    }
  }
  return values;
}

template <class T>
std::vector<T> special_values() {
  using Limits = std::numeric_limits<T>;
  std::vector<T> values = {T(0),
                           T(0.5),
                           T(1),
                           T(1.5),
                           T(2.5),
                           T(3.5),
                           T(127.5),
                           T(1 << 22),
                           T(8388607.5),
                           T(4503599627370495.5),
                           Limits::min(),
                           Limits::max(),
                           Limits::denorm_min(),
                           Limits::infinity(),
                           Limits::epsilon()};
  for (std::size_t i = 0, n = values.size(); i < n; ++i) {
    values.push_back(std::nextafter(values[i], T(0)));
    values.push_back(std::nextafter(values[i], Limits::infinity()));
  }
  for (std::size_t i = 0, n = values.size(); i < n; ++i) values.push_back(-values[i]);
  values.push_back(Limits::quiet_NaN());
  while (values.size() % kLanes) values.push_back(T(7));
  return values;
}

template <class T>
std::vector<T> test_values() {
  std::vector<T> values = random_values<T>(4096);
  if constexpr (std::is_floating_point_v<T>) {
    const std::vector<T> special = special_values<T>();
    values.insert(values.end(), special.begin(), special.end());
  }
  return values;
}

// NaN has many patterns and operators may give any of them; the kernels make NaN canonical when they store it.
template <class T>
T one_nan(T value) {
  if constexpr (std::is_floating_point_v<T>) return value == value ? value : std::numeric_limits<T>::quiet_NaN();
  return value;
}

template <class Result, class T, class Vector, class Scalar>
void check_unary(const char* name, const std::vector<T>& values, Vector vector, Scalar scalar) {
  Check check(name);
  for (std::size_t i = 0; i + kLanes <= values.size(); i += kLanes) {
    Result got[kLanes];
    to_array(vector(load(&values[i])), got);
    for (int k = 0; k < kLanes; ++k)
      check.same(one_nan(got[k]), one_nan(static_cast<Result>(scalar(values[i + static_cast<std::size_t>(k)]))),
                 static_cast<long long>(i) + k);
  }
}

template <class Result, class T, class Vector, class Scalar>
void check_binary(const char* name, Vector vector, Scalar scalar) {
  Check check(name);
  const std::vector<T> a = test_values<T>();
  std::vector<T> b = a;
  for (int round = 0; round < 20; ++round) {
    std::shuffle(b.begin(), b.end(), generator);
    for (std::size_t i = 0; i + kLanes <= a.size(); i += kLanes) {
      Result got[kLanes];
      to_array(vector(load(&a[i]), load(&b[i])), got);
      for (std::size_t k = 0; k < kLanes; ++k)
        check.same(one_nan(got[k]), one_nan(static_cast<Result>(scalar(a[i + k], b[i + k]))), static_cast<long long>(i + k));
    }
  }
}

}  // namespace
