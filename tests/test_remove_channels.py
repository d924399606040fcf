"""tersor.torch.remove_channels: smaller modules, against the same modules with what went at zero."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tersor

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("torch_pruning", reason="Torch-Pruning is not installed")

import tersor.torch  # noqa: E402
from tersor.torch import remove_channels  # noqa: E402
from torch import nn  # noqa: E402


def whole_numbers(model: Any, seed: int = 0) -> Any:
    """Weights between -3 and 3, so that float64 sums of their products are exact in any order; norms of powers of two."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        if "running_var" in name:
            tensor.fill_(4.0)
        else:
            tensor.copy_(torch.randint(-3, 4, tensor.shape, generator=generator))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
    return model


def whole_input(*shape: int) -> Any:
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(9)).double()


def parameters(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def rows_kept(smaller: Any, layer: Any) -> list[int]:
    """Which rows of the layer a smaller one has, whose columns are all there."""
    rows = [next(i for i, row in enumerate(layer.weight) if torch.equal(row, small)) for small in smaller.weight]
    assert rows == sorted(set(rows)), "the rows of this test differ, and keep their order"
    return rows


def zero_outputs(layer: Any, kept: list[int]) -> None:
    gone = np.delete(np.arange(layer.weight.shape[0]), kept)
    with torch.no_grad():
        layer.weight[gone] = 0
        if layer.bias is not None:
            layer.bias[gone] = 0


class Residual(nn.Module):
    """Two convolutions beside a connection past them; batch norms; a depthwise convolution; flattened into a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.inner, self.inner_norm = nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.outer = nn.Conv2d(16, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)
        self.head = nn.Linear(8 * 16, 5)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.stem_norm(self.stem(x)))
        x = x + self.outer(torch.relu(self.inner_norm(self.inner(x))))
        return self.head(self.depthwise(x).flatten(1))


class Attention(nn.Module):
    """Heads whose number follows from the shape. Queries, keys and values from three layers, or from one."""

    def __init__(self, fused: bool, width: int = 24, size: int = 4) -> None:
        super().__init__()
        self.size, self.fused = size, fused
        if fused:
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
        self.last = nn.Linear(width, width)

    def forward(self, x: Any) -> Any:
        projections = self.qkv(x).chunk(3, -1) if self.fused else (self.q(x), self.k(x), self.v(x))
        q, k, v = (p.view(*x.shape[:2], -1, self.size).transpose(1, 2) for p in projections)
        mixed = torch.softmax(q @ k.transpose(-1, -2) / 2, -1) @ v
        return self.last(mixed.transpose(1, 2).reshape(*x.shape[:2], -1))


class Block(nn.Module):
    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(24), Attention(fused)
        self.norm2, self.wide, self.narrow = nn.LayerNorm(24), nn.Linear(24, 48), nn.Linear(48, 24)

    def forward(self, x: Any) -> Any:
        x = x + self.attention(self.norm1(x))
        return x + self.narrow(nn.functional.gelu(self.wide(self.norm2(x))))


# --- what comes out ----------------------------------------------------------------------------------------------------


class TestOutputs:
    @pytest.mark.parametrize("criterion", ["l1", "l2", "max"])
    def test_linear_layers(self, criterion: str) -> None:
        model = whole_numbers(nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 20), nn.ReLU(), nn.Linear(20, 3)))
        x = whole_input(7, 6)
        smaller = remove_channels(model, x, 0.25, criterion=criterion)
        assert [layer.weight.shape for layer in smaller[::2]] == [(24, 6), (15, 24), (3, 15)]
        assert parameters(smaller) == 24 * 7 + 15 * 25 + 3 * 16
        masked = copy.deepcopy(model)
        kept = rows_kept(smaller[0], model[0])
        zero_outputs(masked[0], kept)
        columns = copy.deepcopy(model[2])
        columns.weight = nn.Parameter(model[2].weight[:, kept])
        zero_outputs(masked[2], rows_kept(smaller[2], columns))
        assert torch.equal(smaller(x), masked(x))

    def test_residual_convolutions(self) -> None:
        model, x = whole_numbers(Residual()), whole_input(2, 3, 6, 6)
        smaller = remove_channels(model, x, 0.5)
        assert (smaller.stem.out_channels, smaller.inner.out_channels, smaller.outer.out_channels) == (4, 8, 4)
        assert (smaller.depthwise.groups, smaller.head.in_features) == (4, 4 * 16)
        assert parameters(smaller) == 4 * 28 + 8 + 8 * 4 * 9 + 16 + 4 * (8 * 9 + 1) + 4 * 10 + 5 * 65
        masked = copy.deepcopy(model)
        kept = rows_kept(smaller.stem, model.stem)
        few_columns = copy.deepcopy(model.inner)
        few_columns.weight = nn.Parameter(model.inner.weight[:, kept])
        inner = rows_kept(smaller.inner, few_columns)
        for layer in (masked.stem, masked.stem_norm, masked.outer, masked.depthwise):
            zero_outputs(layer, kept)
        for layer in (masked.inner, masked.inner_norm):
            zero_outputs(layer, inner)
        assert torch.equal(smaller(x), masked(x))

    @pytest.mark.parametrize("fused", [False, True], ids=["three layers", "one layer"])
    def test_attention_heads(self, fused: bool) -> None:
        """Softmax is not exact, and matrices of other sizes are multiplied in another order: within float64's rounding,
        2e-16 times the few hundred terms of an output and the size of the largest, some 40, is 1e-12."""
        torch.manual_seed(0)
        model = Block(fused).double().eval()
        x = torch.randn(2, 5, 24, dtype=torch.float64)
        names = ["attention.qkv"] if fused else ["attention.q", "attention.k", "attention.v"]
        smaller = remove_channels(
            model, x, 0.5, ignored=["attention.last", "narrow"], group_sizes=dict.fromkeys(names, 4), multiple_of=1
        )
        attention, small = model.attention, smaller.attention
        assert small.last.weight.shape == (24, 12) and smaller.wide.weight.shape == (24, 24)
        columns = [int(torch.where((attention.last.weight == c[:, None]).all(0))[0]) for c in small.last.weight.T]
        assert columns == sorted(columns) and [c // 4 for c in columns[::4]] == [c // 4 for c in columns[3::4]], (
            "whole heads"
        )
        masked = copy.deepcopy(model)
        gone = np.delete(np.arange(24), columns)
        with torch.no_grad():
            masked.attention.last.weight[:, gone] = 0
        zero_outputs(masked.wide, rows_kept(smaller.wide, model.wide))
        assert parameters(model) - parameters(smaller) == 4 * 12 * 24 + 3 * 12 + 24 * (24 + 1) + 24 * 24
        torch.testing.assert_close(smaller(x), masked(x), rtol=0, atol=1e-12)

    def test_concatenation(self) -> None:
        """Channels of two layers side by side go each from its own."""

        class Beside(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.left, self.right, self.head = nn.Linear(4, 6), nn.Linear(4, 10), nn.Linear(16, 3)

            def forward(self, x: Any) -> Any:
                return self.head(torch.relu(torch.cat([self.left(x), self.right(x)], -1)))

        model, x = whole_numbers(Beside()), whole_input(5, 4)
        smaller, masked = remove_channels(model, x, 0.5), copy.deepcopy(model)
        assert (smaller.left.out_features, smaller.right.out_features, smaller.head.in_features) == (3, 5, 8)
        for name in ("left", "right"):
            zero_outputs(getattr(masked, name), rows_kept(getattr(smaller, name), getattr(model, name)))
        assert torch.equal(smaller(x), masked(x))

    def test_transposed_convolution(self) -> None:
        model = whole_numbers(nn.Sequential(nn.ConvTranspose2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1)))
        x = whole_input(1, 3, 5, 5)
        smaller = remove_channels(model, x, 0.5)
        assert smaller[0].weight.shape == (3, 4, 3, 3) and smaller[2].weight.shape == (4, 4, 1, 1)
        kept = [next(i for i in range(8) if torch.equal(model[0].weight[:, i], w)) for w in smaller[0].weight.unbind(1)]
        masked = copy.deepcopy(model)
        with torch.no_grad():
            masked[2].weight[:, np.delete(np.arange(8), kept)] = 0
        assert torch.equal(smaller(x), masked(x))


class TestWhichChannels:
    """The lowest scores of tersor.score_units over the rows of one layer and the columns of the next."""

    @pytest.mark.parametrize("criterion", ["l1", "l2", "max", "taylor"])
    def test_scores(self, criterion: str) -> None:
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(5, 24), nn.ReLU(), nn.Linear(24, 7))
        x = torch.randn(16, 5)
        model(x).pow(2).mean().backward()
        rows, columns = (
            tersor.score_units(
                layer.weight.detach(), criterion, axis=axis, gradient=layer.weight.grad if criterion == "taylor" else None
            ).numpy()
            for axis, layer in ((0, model[0]), (1, model[2]))
        )
        joined = {"l2": np.hypot(rows, columns), "max": np.maximum(rows, columns)}.get(criterion, rows + columns)
        smaller = remove_channels(model, x, 0.5, criterion=criterion)
        assert rows_kept(smaller[0], model[0]) == tersor.select_units(joined, 0.5).tolist()

    def test_exact_share_and_multiple(self) -> None:
        model, x = nn.Sequential(nn.Linear(4, 21), nn.ReLU(), nn.Linear(21, 2)), torch.zeros(1, 4)
        for sparsity, multiple_of, left in ((0.5, 1, 11), (0.5, 4, 12), (0.1, 8, 21), (0.0, 1, 21), (1.0, 1, 21)):
            smaller = remove_channels(model, x, sparsity, multiple_of=multiple_of)
            assert smaller[0].out_features == left, (sparsity, multiple_of)

    def test_as_an_importance_of_torch_pruning(self) -> None:
        import torch_pruning

        model, x = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)), torch.randn(1, 4)
        scores = torch.hypot(
            tersor.score_units(model[0].weight.detach(), "l2"), tersor.score_units(model[2].weight.detach(), "l2", axis=1)
        )
        before = copy.deepcopy(model)
        pruner = torch_pruning.pruner.BasePruner(
            model, x, importance=tersor.torch.GroupImportance("l2"), pruning_ratio=0.5, ignored_layers=[model[2]]
        )
        pruner.step()
        assert rows_kept(model[0], before[0]) == tersor.select_units(scores, 0.5).tolist()


class TestWhatStays:
    def test_the_model_is_not_changed(self) -> None:
        model, x = Residual().train(), torch.randn(2, 3, 6, 6)
        model.inner_norm.eval()
        model.head.weight.requires_grad_(False)
        before = copy.deepcopy(model.state_dict())
        smaller = remove_channels(model, x, 0.5)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        assert [m.training for m in smaller.modules()] == [m.training for m in model.modules()]
        assert [p.requires_grad for p in smaller.parameters()] == [p.requires_grad for p in model.parameters()]
        assert all(p.grad is None for p in smaller.parameters())

    def test_smaller_model_trains(self) -> None:
        model, x = Residual(), torch.randn(4, 3, 6, 6)
        smaller = remove_channels(model, x, 0.5)
        smaller(x).pow(2).mean().backward()
        assert all(p.grad is not None and p.grad.shape == p.shape for p in smaller.parameters())

    def test_a_frozen_model(self) -> None:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)).requires_grad_(False)
        with torch.no_grad():
            smaller = remove_channels(model, torch.zeros(1, 4), 0.5)
        assert smaller[0].out_features == 8 and not any(p.requires_grad for p in smaller.parameters())

    @pytest.mark.parametrize("ignored", [lambda model: [model.inner], lambda model: ["inner"]], ids=["module", "name"])
    def test_ignored(self, ignored: Callable[[Any], Any]) -> None:
        model = Residual()
        smaller = remove_channels(model, torch.zeros(1, 3, 6, 6), 0.5, ignored=ignored(model))
        assert smaller.inner.out_channels == 16 and smaller.stem.out_channels == 4

    @pytest.mark.parametrize("last", [nn.ReLU(), nn.BatchNorm1d(6), nn.Identity()], ids=["activation", "norm", "nothing"])
    def test_outputs_of_the_model(self, last: Any) -> None:
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 6), last)
        smaller = remove_channels(model, torch.zeros(2, 4), 0.5)
        assert smaller[2].weight.shape == (6, 8)

    def test_layers_with_groups_of_channels(self) -> None:
        model = nn.Sequential(
            nn.Conv2d(3, 8, 1), nn.GroupNorm(4, 8), nn.Conv2d(8, 8, 1, groups=2), nn.Conv2d(8, 16, 1), nn.Conv2d(16, 2, 1)
        )
        smaller = remove_channels(model, torch.zeros(1, 3, 4, 4), 0.5)
        assert [layer.weight.shape[0] for layer in smaller] == [8, 8, 8, 8, 2]

    def test_encoder_layer(self) -> None:
        model = nn.TransformerEncoderLayer(24, 4, 48, batch_first=True)
        smaller = remove_channels(model, torch.zeros(2, 5, 24), 0.5)
        assert smaller.linear1.weight.shape == (24, 24) and smaller.linear2.weight.shape == (24, 24)
        assert smaller.self_attn.embed_dim == 24

    def test_keyword_arguments(self) -> None:
        class Sum(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.wide, self.head = nn.Linear(4, 16), nn.Linear(16, 2)

            def forward(self, left: Any, right: Any) -> Any:
                return {"logits": self.head(torch.relu(self.wide(left + right)))}

        x = torch.zeros(1, 4)
        for inputs in ((x, x), {"left": x, "right": x}):
            assert remove_channels(Sum(), inputs, 0.5).wide.out_features == 8


# --- refusals ----------------------------------------------------------------------------------------------------------


class TestRefusals:
    def model(self) -> Any:
        return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))

    @pytest.mark.parametrize(
        "message, options",
        [
            (r"sparsity must be in \[0, 1\]", {"sparsity": 50}),
            (r"ignored has 'head', which is no module", {"ignored": ["head"]}),
            (r"group_sizes has 'head', which is no module", {"group_sizes": {"head": 4}}),
            (r"group_sizes has 5 for a layer of 16 channels; choose a divisor", {"group_sizes": {"0": 5}}),
            (r"criterion must be 'l1', 'l2', 'max' or 'taylor'", {"criterion": "l3"}),
            (r"gradient.*call backward\(\) first", {"criterion": "taylor"}),
            (r"multiple_of must be at least 1", {"multiple_of": 0}),
        ],
        ids=lambda value: value[:20] if isinstance(value, str) else "",
    )
    def test_arguments(self, message: str, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=message):
            remove_channels(self.model(), torch.zeros(1, 4), **{"sparsity": 0.5, **options})

    def test_two_sizes_in_one_group(self) -> None:
        sizes = {"attention.q": 4, "attention.k": 2}
        with pytest.raises(ValueError, match=r"units of \[2, 4\] channels for layers whose channels go together"):
            remove_channels(
                Block(False), torch.zeros(1, 5, 24), 0.5, ignored=["attention.last", "narrow"], group_sizes=sizes
            )

    def test_a_fixed_width_is_named_with_its_remedy(self) -> None:
        """The block's input goes past its layers, and cannot be narrower."""
        model = Block(False)
        with pytest.raises(ValueError, match=r"does not run.*name in ignored.*group_sizes"):
            remove_channels(model, torch.zeros(1, 5, 24), 0.5)

    def test_without_torch_pruning(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "torch_pruning", None)
        with pytest.raises(ImportError, match=r"Torch-Pruning.*tersor\[structured\]"):
            remove_channels(self.model(), torch.zeros(1, 4), 0.5)

    def test_import_brings_in_no_torch_pruning(self) -> None:
        script = "import sys, tersor.torch; print('torch_pruning' in sys.modules)"
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "False"
