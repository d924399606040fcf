"""structured as torch operators, and the removal of channels from whole modules, which needs Torch-Pruning."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import tersor
from tersor import _core
from tersor._arguments import resized_shape, unit_count
from tersor.torch._library import below_autograd, constant, ops, plain, register

_sym_min: Any = torch.sym_min

# --- operators: scores and indexes are constants to autograd ---------------------------------------------------------


def _fake_score_units(
    w: Tensor, criterion: str = "l1", axis: int = 0, group_size: int = 1, gradient: Tensor | None = None
) -> Tensor:
    return w.new_empty((unit_count(w.shape, axis, group_size),), dtype=torch.float64)


def _score_units(
    w: Tensor, criterion: str = "l1", axis: int = 0, group_size: int = 1, gradient: Tensor | None = None
) -> Tensor:
    w = constant(w)
    out = _fake_score_units(w, criterion, axis, group_size)
    _core.score_units(w, criterion, axis, group_size, None if gradient is None else constant(gradient), out)
    return out


def _fake_select_units(scores: Tensor, sparsity: float, multiple_of: int = 1) -> Tensor:
    units = scores.shape[0]
    kept = units - round(sparsity * units)
    kept = -(-kept // multiple_of) * multiple_of
    return scores.new_empty((_sym_min(kept, units),), dtype=torch.int64)


def _select_units(scores: Tensor, sparsity: float, multiple_of: int = 1) -> Tensor:
    keep: Tensor = tersor.select_units(constant(scores), sparsity, multiple_of=multiple_of)
    return keep


def _fake_remove_units(w: Tensor, keep: Tensor, axis: int = 0, group_size: int = 1) -> Tensor:
    return w.new_empty(resized_shape(w.shape, axis, keep.shape[0] * group_size))


def _remove_units(w: Tensor, keep: Tensor, axis: int = 0, group_size: int = 1) -> Tensor:
    smaller: Tensor = tersor.remove_units(constant(w), plain(keep), axis=axis, group_size=group_size)
    return smaller


class _RemoveUnits(torch.autograd.Function):
    """What stays gets its gradient, what went gets zero."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, keep: Tensor, axis: int = 0, group_size: int = 1) -> Any:
        ctx.save_for_backward(keep)
        ctx.shape, ctx.axis, ctx.group_size = w.shape, axis, group_size
        with below_autograd():
            return ops.remove_units(w, keep, axis, group_size)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (keep,) = ctx.saved_tensors
        entries = keep[:, None] * ctx.group_size + torch.arange(ctx.group_size, device=keep.device)
        whole = gradient.new_zeros(ctx.shape).index_copy(ctx.axis, entries.reshape(-1), gradient)
        return whole, None, None, None


register(
    'score_units(Tensor w, str criterion="l1", int axis=0, int group_size=1, Tensor? gradient=None) -> Tensor',
    _score_units,
    fake=_fake_score_units,
)
register("select_units(Tensor scores, float sparsity, int multiple_of=1) -> Tensor", _select_units, fake=_fake_select_units)
register(
    "remove_units(Tensor w, Tensor keep, int axis=0, int group_size=1) -> Tensor",
    _remove_units,
    fake=_fake_remove_units,
    gradient=_RemoveUnits,
)

# --- modules ---------------------------------------------------------------------------------------------------------

Scores = NDArray[np.float64]
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def _is_depthwise(layer: nn.Module) -> bool:
    return isinstance(layer, _CONVOLUTIONS) and layer.groups == layer.in_channels == layer.out_channels > 1


class GroupImportance:
    """Scores of the channels that Torch-Pruning removes together, by ``tersor.score_units``.

    An object of it is an importance for the pruners of Torch-Pruning, which call it with a group: a channel and all that
    depends on it in other layers. A channel's score is taken over its rows, columns or filters in the weights of all
    linear layers and convolutions of the group: their l1 and taylor scores are added, of l2 scores the root of the sum of
    the squares is taken, of max scores the largest.

    Parameters
    ----------
    criterion : {"l1", "l2", "max", "taylor"}, default "l2"
        As in ``tersor.score_units``. ``"taylor"`` reads the gradients that ``backward`` has left in the weights.
    """

    def __init__(self, criterion: str = "l2") -> None:
        self.criterion = criterion

    def __call__(self, group: Any) -> Tensor | None:
        """One float64 score for each channel of a group; None for one without weights."""
        channels = len(group[0].idxs)
        total, found = np.zeros(channels), False
        for item in group.items:
            scores = self._of_layer(item.dep.target.module, group._DG.is_out_channel_pruning_fn(item.dep.handler))
            if scores is None:
                continue
            found = True
            self._join(total, np.asarray(item.root_idxs), scores[np.asarray(item.idxs)])
        return torch.from_numpy(self._finished(total)) if found else None

    def _of_layer(self, layer: nn.Module, is_output: bool) -> Scores | None:
        """The score of each output or input channel of a layer."""
        if not isinstance(layer, (nn.Linear, *_CONVOLUTIONS, *_TRANSPOSED)):
            return None
        if _is_depthwise(layer):
            is_output = True  # its inputs are its outputs
        elif not is_output and getattr(layer, "groups", 1) > 1:
            return None  # its weight has the inputs of one group only
        gradient = None
        if self.criterion == "taylor":
            if layer.weight.grad is None:
                raise ValueError("a weight has no gradient, which criterion='taylor' needs: call backward() first")
            gradient = layer.weight.grad.cpu()
        axis = int(is_output == isinstance(layer, _TRANSPOSED))
        scores = tersor.score_units(layer.weight.detach().cpu(), self.criterion, axis=axis, gradient=gradient)
        return np.asarray(scores)

    def _join(self, total: Scores, places: NDArray[np.int64], scores: Scores) -> None:
        if self.criterion == "max":
            np.maximum.at(total, places, scores)
        else:
            np.add.at(total, places, scores**2 if self.criterion == "l2" else scores)

    def _finished(self, total: Scores) -> Scores:
        return np.sqrt(total) if self.criterion == "l2" else total

    def of_units(self, scores: Scores, size: int) -> Scores:
        """Scores of units of so many neighbouring channels."""
        units = scores.reshape(-1, size)
        if self.criterion == "max":
            return np.asarray(units.max(axis=1))
        return self._finished((units**2 if self.criterion == "l2" else units).sum(axis=1))


def _torch_pruning() -> Any:
    try:
        return importlib.import_module("torch_pruning")
    except ImportError as error:
        raise ImportError('remove_channels needs Torch-Pruning: pip install "tersor[structured]"') from error


def _run(model: nn.Module, inputs: Any) -> Any:
    """As Torch-Pruning calls a model."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)


def _shapes(outputs: Any) -> list[tuple[int, ...]]:
    if isinstance(outputs, Tensor):
        return [tuple(outputs.shape)]
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    return [shape for output in outputs for shape in _shapes(output)] if isinstance(outputs, (tuple, list)) else []


def _copied(model: nn.Module) -> nn.Module:
    """A copy whose parameters all require gradients, as tracing needs, and have those of the original."""
    smaller = copy.deepcopy(model)
    for ours, theirs in zip(smaller.parameters(), model.parameters(), strict=True):
        if ours.is_floating_point():
            ours.requires_grad_(True)
        ours.grad = theirs.grad
    return smaller


def _restore(smaller: nn.Module, model: nn.Module) -> None:
    """The flags of the original, and no gradients, which would be those of other shapes."""
    for name, parameter in smaller.named_parameters():
        parameter.grad = None
        parameter.requires_grad_(model.get_parameter(name).requires_grad)
    for name, module in smaller.named_modules():
        module.training = model.get_submodule(name).training


def _named(layers: Iterable[Any], model: nn.Module, smaller: nn.Module, argument: str) -> list[nn.Module]:
    """Layers of the model, given as modules or by name, as those of its copy."""
    names = {module: name for name, module in model.named_modules()}
    modules = dict(smaller.named_modules())
    found = []
    for layer in layers:
        name = layer if isinstance(layer, str) else names.get(layer)
        if name not in modules:
            raise ValueError(f"{argument} has {layer!r}, which is no module of the model, nor the name of one")
        found.append(modules[name])
    return found


class _Removal:
    """The groups of one model, and what goes of each."""

    def __init__(self, graph: Any, importance: GroupImportance, sizes: Mapping[nn.Module, int], multiple_of: int) -> None:
        self._graph, self._importance = graph, importance
        self._sizes, self._multiple_of = sizes, multiple_of

    def is_removable(self, group: Any) -> bool:
        """Whether a layer of the model reads the channels, and any of them can go: no layer divides them into groups."""
        read = False
        for dep, _ in group:
            layer = dep.target.module
            if isinstance(layer, (nn.MultiheadAttention, nn.GroupNorm, nn.RNNBase)):
                return False
            if getattr(layer, "groups", 1) > 1 and not _is_depthwise(layer):
                return False
            # One function does both for layers that pass channels on, such as norms and activations.
            is_input, is_output = self._graph.is_in_channel_pruning_fn, self._graph.is_out_channel_pruning_fn
            read |= is_input(dep.handler) and not is_output(dep.handler) and not _is_depthwise(layer)
        return read

    def plan(self, group: Any, sparsity: float) -> tuple[nn.Module, Any, list[int]] | None:
        """The layer to begin at, how it is pruned, and the channels that go."""
        group, size = self._rooted(group)
        scores = self._importance(group)
        if scores is None:
            return None
        if len(scores) % size:
            raise ValueError(f"group_sizes has {size} for a layer of {len(scores)} channels; choose a divisor")
        units = self._importance.of_units(scores.numpy(), size)
        if round(sparsity * len(units)) == len(units):
            return None  # a layer keeps one unit at least
        keep = tersor.select_units(units, sparsity, multiple_of=self._multiple_of)
        gone = np.delete(np.arange(len(units)), keep)
        channels = (gone[:, None] * size + np.arange(size)).ravel()
        return group[0].dep.target.module, group[0].dep.handler, channels.tolist()

    def _rooted(self, group: Any) -> tuple[Any, int]:
        """The group, and how many of its channels are one unit. Where one layer gives queries, keys and values side by
        side, the group begins at the layer that reads the heads: its channels stand for three each."""
        sizes = {self._sizes[dep.target.module] for dep, _ in group if dep.target.module in self._sizes}
        if len(sizes) > 1:
            raise ValueError(f"group_sizes gives units of {sorted(sizes)} channels for layers whose channels go together")
        readers = [
            (dep, idxs)
            for dep, idxs in group
            if self._graph.is_in_channel_pruning_fn(dep.handler) and isinstance(dep.target.module, nn.Linear)
        ]
        if sizes and readers and len(readers[0][1]) < len(group[0].idxs):
            dep, idxs = readers[0]
            group = self._graph.get_pruning_group(dep.target.module, dep.handler, sorted(idxs))
        return group, sizes.pop() if sizes else 1


def remove_channels(
    model: nn.Module,
    example_inputs: Any,
    sparsity: float,
    *,
    criterion: str = "l2",
    ignored: Iterable[Any] = (),
    group_sizes: Mapping[Any, int] | None = None,
    multiple_of: int = 1,
) -> nn.Module:
    """Make a smaller model without the least important channels of its layers.

    Torch-Pruning's dependency graph (Fang et al., "DepGraph: Towards Any Structural Pruning", 2023) finds what goes
    together: a layer's rows, the batch norm behind it, the columns of the layers that read it, and, across residual
    connections, other layers' rows. Of each such group the same share of channels goes.

    Parameters
    ----------
    model : torch.nn.Module
        On any device; not changed.
    example_inputs : tensor, tuple or list of positional arguments, or dict of keyword arguments
        What the model is traced with.
    sparsity : float
        In [0, 1]: of n channels, or units of ``group_sizes``, of a group ``round_half_even(sparsity * n)`` go, those of the
        lowest scores, as in ``tersor.select_units``. Where that is all of them, the group stays whole.
    criterion : {"l1", "l2", "max", "taylor"}, default "l2"
        How channels are scored: see ``GroupImportance``.
    ignored : modules of the model, or their names
        Layers that keep all their outputs.
    group_sizes : mapping from module or name to int, optional
        Layers whose neighbouring outputs go together, so many at a time: for the projections of an attention the size of a
        head. A module that reshapes to heads must take their number from the shape, as ``view(..., -1, size)`` does.
    multiple_of : int, default 1
        The number of channels or units that stay in a group is rounded up to a multiple of this.

    Returns
    -------
    torch.nn.Module
        A copy of the model with smaller layers, without gradients.

    Raises
    ------
    ImportError
        Torch-Pruning is not installed: it is the extra ``structured``.
    ValueError
        sparsity is out of range; a layer is none of the model; a weight has no gradient for ``"taylor"``; group_sizes does
        not fit; the smaller model would not run, or would give outputs of other shapes: name the layers whose outputs are
        the model's in ``ignored``.

    Notes
    -----
    Layers that no other layer reads keep their outputs, which are the model's. So do groups that reach a convolution
    with groups (but for depthwise ones), a group norm, a recurrent layer or a ``torch.nn.MultiheadAttention``.

    Examples
    --------
    >>> import torch
    >>> import tersor.torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4))
    >>> smaller = tersor.torch.remove_channels(model, torch.zeros(1, 8), 0.75)
    >>> smaller[0], smaller[2]  # doctest: +NORMALIZE_WHITESPACE
    (Linear(in_features=8, out_features=16, bias=True), Linear(in_features=16, out_features=4, bias=True))
    """
    torch_pruning = _torch_pruning()
    share = float(sparsity)
    if not 0 <= share <= 1:
        raise ValueError(f"sparsity must be in [0, 1], got {sparsity}")
    smaller = _copied(model)
    kept_whole = [part for layer in _named(ignored, model, smaller, "ignored") for part in layer.modules()]
    given = group_sizes or {}
    sizes = dict(zip(_named(given, model, smaller, "group_sizes"), given.values(), strict=True))
    with torch.enable_grad():
        graph = torch_pruning.DependencyGraph().build_dependency(smaller, example_inputs)
    with torch.no_grad():
        shapes = _shapes(_run(smaller.eval(), example_inputs))
        removal = _Removal(graph, GroupImportance(criterion), sizes, multiple_of)
        # All are scored before the first is removed: removing shortens the weights of others.
        groups = [group for group in graph.get_all_groups(ignored_layers=kept_whole) if removal.is_removable(group)]
        for plan in [removal.plan(group, share) for group in groups]:
            if plan is not None and plan[2]:
                graph.get_pruning_group(*plan).prune()
        _require_same_outputs(smaller, example_inputs, shapes)
    _restore(smaller, model)
    return smaller


def _require_same_outputs(smaller: nn.Module, example_inputs: Any, shapes: list[tuple[int, ...]]) -> None:
    remedy = "name in ignored the layers whose outputs have a fixed size, or in group_sizes those that are cut into heads"
    try:
        found = _shapes(_run(smaller, example_inputs))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ValueError(f"the smaller model does not run ({error}): {remedy}") from error
    if found != shapes:
        raise ValueError(f"the smaller model gives outputs of shapes {found}, the model of {shapes}: {remedy}")
