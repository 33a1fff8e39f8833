"""Residual networks for 32 x 32 images: ResNet-10 and ResNet-32 (He et al. 2016)."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from prostate_alm.errors import ArgumentError
from prostate_alm.networks.normalised_linear import NormalisedLinear


class ResNetCIFAR(nn.Module):
    """Residual network whose first layer is a 3 x 3 convolution without pooling, for images of 32 x 32 pixels.

    Stage i has ``blocks[i]`` basic blocks of ``widths[i]`` channels; each stage but the first halves the resolution.

    Source: He et al. 2016, section 4.2 and Table 1. `resnet10` and `resnet32` are the two of Sangalli et al. 2021.

    Args:
        widths: channels of each stage.
        blocks: basic blocks of each stage.
        classes: C logits; 1 for one binary logit.
        projection: how a shortcut changes its channels: True by a 1 x 1 convolution (option B of He et al.), False by
            zeros (option A).
        normalised: logits are scaled cosines, which LDAM needs (Cao et al. 2019).
        scale: of these cosines.

    Raises:
        ArgumentError: there are no stages, or not as many `widths` as `blocks`.
    """

    def __init__(
        self,
        widths: Sequence[int],
        blocks: Sequence[int],
        *,
        classes: int = 1,
        projection: bool = True,
        normalised: bool = False,
        scale: float = 30.0,
    ) -> None:
        super().__init__()
        if not widths or len(widths) != len(blocks) or min(*widths, *blocks, classes) < 1:
            raise ArgumentError(
                f"expected as many `widths` as `blocks` and `classes`, all >= 1; got {widths}, {blocks}, {classes}."
            )
        self.stem = nn.Sequential(_convolution(3, widths[0]), nn.BatchNorm2d(widths[0]), nn.ReLU())
        stages: list[nn.Module] = []
        channels = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, blocks, strict=True)):
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(BasicBlock(channels, width, stride=stride, projection=projection))
                channels = width
        self.stages = nn.Sequential(*stages)
        self.head = NormalisedLinear(channels, classes, scale=scale) if normalised else nn.Linear(channels, classes)
        _initialise_(self)
        if all(width % 16 == 0 for width in widths):
            # faster; with fewer channels the backward pass of oneDNN's convolutions writes beyond its buffers (torch
            # 2.13 on a CPU, several threads, odd batches: aborts)
            self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - an overload of nn.Module.to

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[B, 3, H, W]`` -> logits ``[B, C]``."""
        features = self.stages(self.stem(image))
        return self.head(features.mean(dim=(2, 3)))


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation, and a shortcut (He et al. 2016, Figure 2)."""

    def __init__(self, channels: int, width: int, *, stride: int, projection: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(channels, width, stride=stride),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            _convolution(width, width),
            nn.BatchNorm2d(width),
        )
        self.shortcut = _shortcut(channels, width, stride=stride, projection=projection)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[B, channels, H, W]`` -> ``[B, width, H / stride, W / stride]``."""
        return torch.relu(self.body(image) + self.shortcut(image))


class ZeroPadShortcut(nn.Module):
    """Take each `stride`-th pixel and fill the new channels with zeros, half before and half after (option A)."""

    def __init__(self, channels: int, width: int, *, stride: int) -> None:
        super().__init__()
        self.stride, self.before, self.after = stride, (width - channels) // 2, (width - channels + 1) // 2

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[B, channels, H, W]`` -> ``[B, width, H / stride, W / stride]``."""
        return functional.pad(image[:, :, :: self.stride, :: self.stride], [0, 0, 0, 0, self.before, self.after])


def resnet10(*, width: int = 64, classes: int = 1, normalised: bool = False, scale: float = 30.0) -> ResNetCIFAR:
    """ResNet-10 in the CIFAR form: four stages of one block, `width`, 2, 4 and 8 `width` channels.

    The paper's network for two classes (section 5.2); it does not give the widths, 64 is that of the ImageNet form.
    """
    widths = [width, 2 * width, 4 * width, 8 * width]
    return ResNetCIFAR(widths, [1, 1, 1, 1], classes=classes, normalised=normalised, scale=scale)


def resnet32(*, classes: int = 10, normalised: bool = False, scale: float = 30.0) -> ResNetCIFAR:
    """ResNet-32: three stages of five blocks, 16, 32 and 64 channels, shortcuts of option A.

    The paper's network for more than two classes (section 5.2), as in Cao et al. 2019.
    """
    return ResNetCIFAR([16, 32, 64], [5, 5, 5], classes=classes, projection=False, normalised=normalised, scale=scale)


def _convolution(channels: int, width: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, width, kernel_size=3, stride=stride, padding=1, bias=False)


def _shortcut(channels: int, width: int, *, stride: int, projection: bool) -> nn.Module:
    if stride == 1 and channels == width:
        return nn.Identity()
    if not projection:
        return ZeroPadShortcut(channels, width, stride=stride)
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width))


def _initialise_(network: nn.Module) -> None:
    """Kaiming normal for convolutions and linear layers, as in He et al. 2015 for ReLU."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
