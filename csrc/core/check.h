#pragma once
// The errors that ops raise. bind turns each into the Python exception of the same name.

#include <stdexcept>
#include <string>

namespace tersor {

struct ValueError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};
struct TypeError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// The caller's interrupt hook has said stop (Ctrl-C); its own exception is already set on the Python side.
struct Interrupted : std::exception {
  const char* what() const noexcept override { return "interrupted"; }
};

}  // namespace tersor
