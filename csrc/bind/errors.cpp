#include "bind/errors.h"

#include <unistd.h>

#include <exception>

#include "core/check.h"
#include "core/parallel.h"

namespace tersor::bind {

namespace {

// Python runs signal handlers on its main thread only; elsewhere a poll would take the GIL for nothing, and wait up to 5 ms for
// it where another thread computes. The main thread is the process's first one, in a forked child too.
bool on_main_thread() noexcept {
#if defined(__linux__)
  return gettid() == getpid();
#else
  return true;
#endif
}

// True if a signal handler has raised, which leaves its exception (KeyboardInterrupt) set on this thread.
bool interrupted() {
  if (!on_main_thread()) return false;
  const PyGILState_STATE state = PyGILState_Ensure();
  const bool raised = PyErr_CheckSignals() != 0;
  PyGILState_Release(state);
  return raised;
}

void translate(std::exception_ptr error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const ValueError& e) {
    py::set_error(PyExc_ValueError, e.what());
  } catch (const TypeError& e) {
    py::set_error(PyExc_TypeError, e.what());
  } catch (const Interrupted&) {
    // What the signal handler raised is set already.
  }
}

}  // namespace

void bind_errors(py::module_&) {
  py::register_local_exception_translator(translate);
  set_interrupt_poll(interrupted);
}

}  // namespace tersor::bind
