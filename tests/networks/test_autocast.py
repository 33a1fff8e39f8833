"""An inferer that runs a network in bfloat16 and hands out float32."""

from typing import Any

import pytest
import torch
from torch import nn

from prostate_alm.errors import ArgumentError
from prostate_alm.networks.autocast import AutocastInferer


class Witness(nn.Module):
    """Remembers in which type its product was computed."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.seen: list[torch.dtype] = []

    def forward(self, image: torch.Tensor, shift: float = 0.0) -> torch.Tensor:
        result = self.linear(image)
        self.seen.append(result.dtype)
        return result + shift


@pytest.mark.parametrize(("precision", "inside"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_the_network_runs_in_the_precision_and_the_result_is_float32(precision: Any, inside: torch.dtype) -> None:
    network = Witness()
    result = AutocastInferer(precision)(torch.ones(3, 4), network)
    assert network.seen == [inside]
    assert result.dtype == torch.float32


def test_float32_changes_nothing() -> None:
    network, images = nn.Linear(4, 2), torch.randn(3, 4)
    assert torch.equal(AutocastInferer()(images, network), network(images))


def test_further_arguments_reach_the_network() -> None:
    network, images = Witness(), torch.randn(3, 4)
    inferer = AutocastInferer()
    torch.testing.assert_close(inferer(images, network, 2.0), inferer(images, network, shift=2.0))
    torch.testing.assert_close(inferer(images, network, 2.0), inferer(images, network) + 2.0)


def test_gradients_flow_through_it_to_float32_weights() -> None:
    network = nn.Linear(4, 2)
    AutocastInferer("bfloat16")(torch.ones(3, 4), network).sum().backward()
    assert network.weight.grad is not None
    assert torch.equal(network.weight.grad, torch.full((2, 4), 3.0))


def test_another_precision_is_refused() -> None:
    wrong: Any = "float16"
    with pytest.raises(ArgumentError, match="Available: 'float32', 'bfloat16'"):
        AutocastInferer(wrong)


@pytest.mark.parametrize(
    ("capability", "precision", "told"),
    [("AVX2", "bfloat16", True), ("AVX2", "float32", False), ("AVX512", "bfloat16", False)],
)
def test_slow_bfloat16_is_said(monkeypatch: Any, caplog: Any, capability: str, precision: Any, told: bool) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    AutocastInferer(precision)
    assert ("emulates bfloat16" in caplog.text) is told
