"""The two residual networks of the paper: their size by hand, their shapes, bfloat16 and TorchScript."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from prostate_alm.errors import ArgumentError
from prostate_alm.networks.autocast import AutocastInferer
from prostate_alm.networks.normalised_linear import NormalisedLinear
from prostate_alm.networks.resnet_cifar import ResNetCIFAR, ZeroPadShortcut, resnet10, resnet32


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def weighted_layers(network: nn.Module) -> int:
    """Convolutions and linear layers, without the 1 x 1 convolutions of shortcuts, as He et al. count depth."""
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    return len(convolutions) + sum(isinstance(m, nn.Linear) for m in network.modules())


def test_resnet32_has_the_parameters_counted_by_hand() -> None:
    """Option A has no parameters in its shortcuts; a batch normalisation has two a channel."""
    stem = 27 * 16 + 2 * 16
    first = 5 * 2 * (9 * 16 * 16 + 2 * 16)
    second = 9 * 16 * 32 + 9 * (9 * 32 * 32) + 10 * 2 * 32
    third = 9 * 32 * 64 + 9 * (9 * 64 * 64) + 10 * 2 * 64
    convolutional = stem + first + second + third
    assert convolutional + 64 * 10 + 10 == 464_154  # the 0.46 M of He et al. 2016, Table 6
    assert parameters(resnet32(classes=10)) == 464_154
    assert parameters(resnet32(classes=100)) == convolutional + 64 * 100 + 100
    assert parameters(resnet32(classes=10, normalised=True)) == convolutional + 64 * 10


@pytest.mark.parametrize("width", [4, 64])
def test_resnet10_has_the_parameters_counted_by_hand(width: int) -> None:
    """Four blocks of two convolutions; three shortcuts by a 1 x 1 convolution with batch normalisation."""
    w = width
    stem = 27 * w + 2 * w
    blocks = [9 * a * b + 9 * b * b + 4 * b for a, b in ((w, w), (w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w))]
    shortcuts = [a * 2 * a + 2 * 2 * a for a in (w, 2 * w, 4 * w)]
    assert parameters(resnet10(width=w)) == stem + sum(blocks) + sum(shortcuts) + 8 * w + 1


def test_the_names_say_how_deep_they_are() -> None:
    assert weighted_layers(resnet10(width=4)) == 10
    assert weighted_layers(resnet32()) == 32


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("classes", [1, 2, 10])
def test_one_logit_a_class(classes: int, normalised: bool) -> None:
    images = torch.randn(3, 3, 32, 32)
    for network in (resnet10(width=4, classes=classes, normalised=normalised), resnet32(classes=classes)):
        assert network.eval()(images).shape == (3, classes)


def test_each_stage_but_the_first_halves_the_resolution() -> None:
    network = resnet32().eval()
    shapes = []
    image = network.stem(torch.randn(1, 3, 32, 32))
    for block in network.stages:
        image = block(image)
        shapes.append(tuple(image.shape[1:]))
    assert shapes == [(16, 32, 32)] * 5 + [(32, 16, 16)] * 5 + [(64, 8, 8)] * 5


def test_a_zero_padded_shortcut_keeps_every_second_pixel_between_zeros() -> None:
    image = torch.arange(1.0, 33.0).reshape(1, 2, 4, 4)
    result = ZeroPadShortcut(2, 4, stride=2)(image)
    assert result.shape == (1, 4, 2, 2)
    assert torch.equal(result[:, 1:3], image[:, :, [0, 2]][..., [0, 2]])
    assert not result[:, [0, 3]].any()


def test_a_block_without_its_body_is_its_shortcut() -> None:
    """With the last normalisation's scale at 0 the body gives 0: relu of the image comes out."""
    network = ResNetCIFAR([4], [1]).eval()
    block = network.stages[0]
    nn.init.zeros_(block.body[4].weight)  # pyright: ignore[reportArgumentType, reportIndexIssue, reportAttributeAccessIssue]
    image = torch.randn(2, 4, 8, 8)
    assert torch.equal(block(image), image.relu())


def test_every_weight_learns() -> None:
    for network in (resnet10(width=4), resnet32(classes=10, normalised=True)):
        network.train()(torch.randn(4, 3, 32, 32)).square().sum().backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_the_first_activations_keep_the_scale() -> None:
    """Kaiming's initialisation: a convolution keeps the second moment of what a ReLU gives it."""
    torch.manual_seed(0)
    convolution = resnet10(width=64).stages[1].body[3]  # pyright: ignore[reportIndexIssue, reportAttributeAccessIssue]
    values = torch.randn(4, 128, 16, 16).relu()
    inner = convolution(values)[..., 1:-1, 1:-1]  # the border sees zeros  # pyright: ignore[reportCallIssue]
    assert float(inner.detach().square().mean()) == pytest.approx(1.0, rel=0.1)  # 2 * E[relu(z)^2] = 1


@pytest.mark.parametrize("normalised", [False, True])
def test_bfloat16_gives_nearly_the_same_in_float32(normalised: bool) -> None:
    torch.manual_seed(0)
    network, images = resnet10(width=8, classes=3, normalised=normalised).eval(), torch.randn(16, 3, 32, 32)
    with torch.no_grad():
        exact = AutocastInferer("float32")(images, network)
        rough = AutocastInferer("bfloat16")(images, network)
    assert rough.dtype == torch.float32
    assert not torch.equal(exact, rough)
    assert (rough - exact).abs().max() < 0.05 * exact.abs().max()  # bfloat16 has 8 bits


@pytest.mark.parametrize("normalised", [False, True])
def test_torchscript_computes_the_same(normalised: bool) -> None:
    images = torch.randn(2, 3, 32, 32)
    for network in (resnet10(width=4, normalised=normalised), resnet32(normalised=normalised)):
        network.eval()
        torch.testing.assert_close(torch.jit.script(network)(images), network(images))


def test_the_last_layer_is_chosen_by_normalised() -> None:
    assert isinstance(resnet10(width=4, normalised=True).head, NormalisedLinear)
    assert isinstance(resnet10(width=4).head, nn.Linear)
    scaled = resnet10(width=4, classes=3, normalised=True, scale=5.0).eval()(torch.randn(64, 3, 32, 32))
    assert scaled.abs().max() <= 5.0 * (1 + 1e-6)


@pytest.mark.parametrize(
    ("widths", "blocks", "classes"), [([], [], 1), ([4], [1, 1], 1), ([4, 0], [1, 1], 1), ([4], [0], 1), ([4], [1], 0)]
)
def test_impossible_forms_are_refused(widths: list[int], blocks: list[int], classes: int) -> None:
    with pytest.raises(ArgumentError, match="as many `widths` as `blocks`"):
        ResNetCIFAR(widths, blocks, classes=classes)


@pytest.mark.parametrize("width", [2, 8, 16])
def test_training_on_several_threads_ends_well_for_each_width(width: int) -> None:
    """In a process of its own: with few channels in the layout channels last, torch 2.13 corrupts memory and aborts."""
    code = (
        "import torch; torch.set_num_threads(2)\n"
        "from prostate_alm.networks.resnet_cifar import ResNetCIFAR\n"
        f"net = ResNetCIFAR([{width}, {2 * width}], [1, 1])\n"
        "for _ in range(60): net(torch.randn(29, 3, 32, 32)).square().mean().backward()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
