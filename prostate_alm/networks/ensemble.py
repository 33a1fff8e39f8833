"""All members of an ensemble as one network, averaged in logit space."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from prostate_alm.errors import ArgumentError
from prostate_alm.networks.two_path import TwoPathNet


class EnsembleNet(nn.Module):
    """`members` networks of one architecture; their logits are averaged before the sigmoid (paper section 5.2).

    Args:
        members: number of networks, at least 1.
        network: the arguments of each `TwoPathNet`.

    Raises:
        ArgumentError: `members` is below 1, or an argument of `network` is out of its range.
    """

    def __init__(self, members: int, network: Mapping[str, Any]) -> None:
        super().__init__()
        if members < 1:
            raise ArgumentError(f"`members` must be at least 1, got {members}.")
        self.members = nn.ModuleList(TwoPathNet(**network) for _ in range(members))

    def member_logits(self, image: torch.Tensor) -> torch.Tensor:
        """``[B, C, H, W, D]`` -> the logit of each of the K members, ``[B, K]``."""
        return torch.cat([member(image) for member in self.members], dim=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """``[B, C, H, W, D]`` -> the mean of the members' logits, ``[B, 1]``."""
        return self.member_logits(image).mean(dim=1, keepdim=True)
