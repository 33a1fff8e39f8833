"""The two paths are identical, see only their channels, and give one logit."""

import pytest
import torch

from prostate_alm.errors import ArgumentError
from prostate_alm.networks.two_path import TwoPathNet


def make_net(**kwargs: object) -> TwoPathNet:
    torch.manual_seed(0)
    return TwoPathNet(**({"widths": [4, 8]} | kwargs)).eval()  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"widths": [4]},
        {"widths": [4, 8, 8], "depth_pools": 1},
        {"normalise": False, "dropout": 0.0},
        {"t2_pool": [2, 2, 1], "diffusion_pool": [4, 4, 1]},
    ],
)
def test_one_logit_a_study_whatever_the_form(kwargs: dict[str, object]) -> None:
    net = make_net(**kwargs)
    assert net(torch.randn(2, 3, 32, 32, 8)).shape == (2, 1)
    assert net(torch.randn(1, 3, 64, 48, 12)).shape == (1, 1)


def test_each_path_reads_its_own_channels() -> None:
    image = torch.randn(1, 3, 32, 32, 8)
    both = make_net()
    changed = image.clone()
    changed[:, 0] = 0
    assert both(image) != both(changed)
    without_adc = make_net(diffusion_channels=[1])
    changed = image.clone()
    changed[:, 2] = 9
    assert without_adc(image) == without_adc(changed)


def test_paths_are_identical_in_structure() -> None:
    net = make_net(t2_channels=[0], diffusion_channels=[1])
    shapes = [[tuple(p.shape) for p in path.parameters()] for path in (net.t2_path, net.diffusion_path)]
    assert shapes[0] == shapes[1]


def test_memory_format_changes_no_logit() -> None:
    net, image = make_net(), torch.randn(2, 3, 32, 32, 8)
    expected = net(image)
    assert torch.allclose(net(image.contiguous(memory_format=torch.channels_last_3d)), expected, atol=1e-6)


def test_every_weight_learns() -> None:
    net = make_net().train()
    net(torch.randn(4, 3, 32, 32, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


@pytest.mark.parametrize("kwargs", [{"widths": []}, {"diffusion_channels": []}, {"dropout": 1.0}])
def test_arguments_out_of_range_are_refused(kwargs: dict[str, object]) -> None:
    with pytest.raises(ArgumentError):
        make_net(**kwargs)
