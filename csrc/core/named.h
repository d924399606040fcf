#pragma once
// Choices that callers make by name.

#include <cstddef>
#include <string>
#include <string_view>

#include "core/check.h"

namespace tersor {

template <class Enum>
struct Named {
  const char* name;
  Enum value;
};

// The one of this name; ValueError with all names, for `argument`, where there is none.
template <class Enum, std::size_t kCount>
Enum find_named(const Named<Enum> (&all)[kCount], std::string_view name, const char* argument) {
  std::string names;
  for (const auto& one : all) {
    if (one.name == name) return one.value;
    names += (names.empty() ? "\"" : ", \"") + std::string(one.name) + "\"";
  }
  throw ValueError(std::string(argument) + " must be one of " + names + ", got \"" + std::string(name) + "\"");
}

}  // namespace tersor
