#pragma once
// Checks of one property over many inputs, and the line that a test program ends with.

#include <cstdarg>
#include <cstdio>
#include <random>

inline int passed = 0, failed = 0;

// Counts once; prints the first input that breaks the property.
class Check {
 public:
  explicit Check(const char* name) : name_(name) {}
  ~Check() { ++(ok_ ? passed : failed); }
  Check(const Check&) = delete;
  Check& operator=(const Check&) = delete;

  bool ok() const { return ok_; }
  __attribute__((format(printf, 3, 4))) void that(bool condition, const char* format, ...) {
    if (condition || !ok_) return;
    ok_ = false;
    std::printf("FAILED %s: ", name_);
    va_list arguments;
    va_start(arguments, format);
    std::vprintf(format, arguments);
    va_end(arguments);
    std::printf("\n");
  }

 private:
  const char* name_;
  bool ok_ = true;
};

inline std::mt19937_64 generator(20261124);

inline std::int64_t random_below(std::int64_t bound) {
  return static_cast<std::int64_t>(generator() % static_cast<std::uint64_t>(bound));
}

inline int finish() {
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed ? 1 : 0;
}
