"""The two-path 3D CNN of the paper (section 5.2 and D.1)."""

from collections.abc import Sequence

import torch
from torch import nn

from prostate_alm.errors import ArgumentError
from prostate_alm.networks.normalised_linear import NormalisedLinear

Size = Sequence[int]


class TwoPathNet(nn.Module):
    """Two identical parallel paths, one for T2 and one for the diffusion channels, joined in the fully connected layer.

    Each path is a cascade of 3D convolution, 3D max-pooling and ReLU (Sangalli et al. 2021, section 5.2 and D.1).
    What the paper leaves open is an argument: depth and widths, batch normalisation, and how a path ends. Here each
    path ends in its average and its maximum over space, so that both paths stay identical whatever the resolution
    they work at.

    Args:
        t2_channels: channels of `image` that are T2.
        diffusion_channels: channels of `image` that are diffusion.
        widths: channels after each block of a path; its length is the depth.
        t2_pool: the T2 path works at the image's resolution divided by this, ``(H, W, D)``.
        diffusion_pool: the same for the diffusion path.
        depth_pools: how many of the first blocks pool along D too; the others pool in the plane only.
        normalise: batch normalisation in each block.
        dropout: probability of dropping a feature before the fully connected layer.
        cosines: the logit is a difference of scaled cosines, which LDAM needs (`NormalisedLinear`).

    Raises:
        ArgumentError: a channel list or `widths` is empty, or `dropout` is outside [0, 1).
    """

    def __init__(
        self,
        *,
        t2_channels: Size = (0,),
        diffusion_channels: Size = (1, 2),
        widths: Size = (8, 16, 32, 64),
        t2_pool: Size = (1, 1, 1),
        diffusion_pool: Size = (1, 1, 1),
        depth_pools: int = 2,
        normalise: bool = True,
        dropout: float = 0.3,
        cosines: bool = False,
    ) -> None:
        super().__init__()
        if not (t2_channels and diffusion_channels and widths):
            raise ArgumentError("`t2_channels`, `diffusion_channels` and `widths` must each name at least one number.")
        if not 0.0 <= dropout < 1.0:
            raise ArgumentError(f"`dropout` must be in [0, 1), got {dropout}.")
        self.t2_channels = list(t2_channels)
        self.diffusion_channels = list(diffusion_channels)
        self.t2_path = _path(
            len(self.t2_channels), widths, first_pool=t2_pool, depth_pools=depth_pools, normalise=normalise
        )
        self.diffusion_path = _path(
            len(self.diffusion_channels),
            widths,
            first_pool=diffusion_pool,
            depth_pools=depth_pools,
            normalise=normalise,
        )
        features = 4 * widths[-1]
        self.head = nn.Sequential(
            nn.Dropout(dropout), NormalisedLinear(features) if cosines else nn.Linear(features, 1)
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[B, C, H, W, D]`` -> one logit a study, ``[B, 1]``."""
        image = image.contiguous(memory_format=torch.channels_last_3d)
        t2 = self.t2_path(image[:, self.t2_channels].contiguous(memory_format=torch.channels_last_3d))
        diffusion = self.diffusion_path(
            image[:, self.diffusion_channels].contiguous(memory_format=torch.channels_last_3d)
        )
        # written out, not as a loop over the paths: TorchScript has to read it
        pooled = [t2.mean(dim=(2, 3, 4)), t2.amax(dim=(2, 3, 4))]
        pooled += [diffusion.mean(dim=(2, 3, 4)), diffusion.amax(dim=(2, 3, 4))]
        return self.head(torch.cat(pooled, dim=1))


def _path(channels: int, widths: Size, *, first_pool: Size, depth_pools: int, normalise: bool) -> nn.Sequential:
    """Average-pool to the working resolution, then convolution, max-pooling, ReLU a block.

    Pooling before ReLU gives the same values as after it and costs less.
    """
    layers: list[nn.Module] = []
    if any(n > 1 for n in first_pool):
        layers.append(nn.AvgPool3d((first_pool[0], first_pool[1], first_pool[2])))
    for block, width in enumerate(widths):
        layers.append(nn.Conv3d(channels, width, kernel_size=3, padding=1, bias=not normalise))
        layers.append(nn.MaxPool3d((2, 2, 2 if block < depth_pools else 1)))
        if normalise:
            layers.append(nn.BatchNorm3d(width))
        layers.append(nn.ReLU())
        channels = width
    return nn.Sequential(*layers)
