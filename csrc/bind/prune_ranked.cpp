#include "ops/prune_ranked.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <string>
#include <utility>

#include "bind/argument.h"
#include "bind/array.h"
#include "bind/call.h"
#include "bind/families.h"
#include "core/check.h"
#include "ops/check_views.h"
#include "ops/select.h"

namespace tersor::bind {

namespace {

// What entries are compared with one another.
enum class Scope : std::uint8_t { kTensor, kGlobal, kRow, kColumn };

Scope scope_argument(py::handle scope, const ArrayListArg& w) {
  const std::pair<const char*, Scope> scopes[] = {
      {"tensor", Scope::kTensor}, {"global", Scope::kGlobal}, {"row", Scope::kRow}, {"column", Scope::kColumn}};
  const auto* found = std::find_if(std::begin(scopes), std::end(scopes), [&](const auto& known) {
    return py::isinstance<py::str>(scope) && py::str(scope).equal(py::str(known.first));
  });
  if (found == std::end(scopes))
    throw ValueError("scope must be 'tensor', 'row', 'column' or 'global', not " + py::repr(scope).cast<std::string>());
  if ((found->second == Scope::kGlobal) != w.is_list())
    throw ValueError("w must be a list of arrays for scope=\"global\", and one array for every other scope");
  return found->second;
}

// An op of this file: arrays to prune, how much and within what, and where the result goes. What that is, the caller says by
// `packed`: None for the pruned arrays, False for masks, True for their bits.
struct Call {
  ArrayListArg w;
  ArrayListArg out;
  double sparsity;
  Scope scope;

  Call(py::handle w_object, const char* name, py::handle sparsity_object, py::handle scope_object, py::handle packed,
       py::handle out_object)
      : w(w_object, name),
        out(out_object, "out", Use::kOutput),
        sparsity(number_argument(sparsity_object, "sparsity")),
        scope(scope_argument(scope_object, w)) {
    const std::span<const View> arrays = w, outputs = out;
    for (std::size_t i = 0; i < std::min(arrays.size(), outputs.size()); ++i) require_output_kind(arrays[i], packed, outputs[i]);
  }

  void run(const Ranking& ranking) const {
    if (scope == Scope::kTensor || scope == Scope::kGlobal) {
      const std::int64_t count = count_to_prune(sparsity, w.size());
      return run_op([&] { prune_ranked(ranking, w, count, out); }, w, out);
    }
    const View &view = w.only(), &out_view = out.only();
    const int from_end = scope == Scope::kRow ? 1 : 2;
    if (view.ndim < from_end)
      throw ValueError("w has " + std::to_string(view.ndim) + " dimensions; this scope needs at least " + std::to_string(from_end));
    const int axis = view.ndim - from_end;
    const std::int64_t count = count_to_prune(sparsity, view.shape[axis]);
    run_op([&] { prune_ranked_rows(ranking, view, count, axis, out_view); }, w, out);
  }
};

void bound_prune_magnitude(py::handle w, py::handle sparsity, py::handle scope, py::handle packed, py::handle out) {
  const Call call(w, "w", sparsity, scope, packed, out);
  call.run(rank_by_magnitude(call.w));
}

void bound_prune_scores(py::handle w, py::handle scores, py::handle sparsity, py::handle scope, py::handle packed, py::handle out) {
  const Call call(w, "w", sparsity, scope, packed, out);
  const ArrayListArg scores_arg(scores, "scores");
  call.run(rank_by_value(scores_arg));
}

void bound_mask_scores(py::handle scores, py::handle sparsity, py::handle scope, py::handle packed, py::handle out) {
  const Call call(scores, "scores", sparsity, scope, packed, out);
  call.run(rank_by_value(call.w));
}

void bound_prune_taylor(py::handle w, py::handle gradient, py::handle sparsity, py::handle scope, py::handle packed,
                        py::handle out) {
  const Call call(w, "w", sparsity, scope, packed, out);
  const ArrayListArg gradient_arg(gradient, "gradient");
  for (std::size_t i = 0; i < std::min(call.w.views().size(), gradient_arg.views().size()); ++i)
    require_same_shape(call.w.views()[i], gradient_arg.views()[i]);
  call.run(rank_by_product(call.w, gradient_arg));
}

void bound_prune_wanda(py::handle w, py::handle norm, py::handle sparsity, py::handle scope, py::handle packed, py::handle out) {
  const Call call(w, "w", sparsity, scope, packed, out);
  const ArrayListArg norm_arg(norm, "norm");
  call.run(rank_by_product(call.w, norm_arg));
}

void bound_prune_random(py::handle w, py::handle sparsity, py::handle seed, py::handle scope, py::handle packed, py::handle out) {
  const Call call(w, "w", sparsity, scope, packed, out);
  call.run(rank_at_random(call.w, seed_argument(seed)));
}

}  // namespace

void bind_prune_ranked(py::module_& module) {
  const auto define = [&](const char* name, auto function, auto... arguments) {
    module.def(name, function, arguments..., py::arg("scope"), py::arg("packed"), py::arg("out"));
  };
  define("prune_magnitude", bound_prune_magnitude, py::arg("w"), py::arg("sparsity"));
  define("prune_scores", bound_prune_scores, py::arg("w"), py::arg("scores"), py::arg("sparsity"));
  define("mask_scores", bound_mask_scores, py::arg("scores"), py::arg("sparsity"));
  define("prune_taylor", bound_prune_taylor, py::arg("w"), py::arg("gradient"), py::arg("sparsity"));
  define("prune_wanda", bound_prune_wanda, py::arg("w"), py::arg("norm"), py::arg("sparsity"));
  define("prune_random", bound_prune_random, py::arg("w"), py::arg("sparsity"), py::arg("seed"));
}

}  // namespace tersor::bind
