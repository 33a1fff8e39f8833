"""The members of an ensemble as functions of one image, computed by torch: the reference for every other backend."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol, cast

import torch

from prostate_alm.networks.ensemble import EnsembleNet
from prostate_alm.networks.two_path import TwoPathNet

NetworkPath = Literal["t2", "diffusion"]
PATHS: tuple[NetworkPath, ...] = ("t2", "diffusion")


class Members(Protocol):
    """What a backend offers. The logits are the sum of both paths' shares and of each member's bias."""

    @property
    def backend(self) -> str:
        """Its name."""
        ...

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        """``[C, H, W, D]`` -> the logit of each of the K members, ``[K]`` float32 on the CPU."""
        ...

    def path_share(self, path: NetworkPath, image: torch.Tensor) -> torch.Tensor:
        """The part of each member's logit that comes through one path, ``[K]``; the other path's channels are unused.

        The fully connected layer is linear and joins both paths, so what is changed in the channels of one path moves
        the logits by the change of its share alone.
        """
        ...


class TorchMembers:
    """The members as torch modules.

    Args:
        network: the ensemble; it is moved to `device` and set to evaluation.
        device: where it runs.
    """

    backend = "torch"

    def __init__(self, network: EnsembleNet, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self._device = device

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        """``[C, H, W, D]`` -> the logit of each of the K members, ``[K]``."""
        with torch.inference_mode():
            return self.network.member_logits(image[None].to(self._device))[0].cpu()

    def path_share(self, path: NetworkPath, image: torch.Tensor) -> torch.Tensor:
        """The part of each member's logit that comes through one path, ``[K]``."""
        image = image[None].to(self._device)
        with torch.inference_mode():
            return torch.stack([_path_share(member, path, image) for member in members_of(self.network)]).cpu()


def members_of(network: EnsembleNet) -> list[TwoPathNet]:
    """The member networks, in their order."""
    return [cast(TwoPathNet, member) for member in network.members]


def path_of(member: TwoPathNet, path: NetworkPath) -> tuple[torch.nn.Sequential, list[int], torch.Tensor]:
    """The layers of a path, the channels it reads, and its ``[features]`` weights in the fully connected layer."""
    joined = cast(torch.nn.Linear, member.head[-1]).weight[0]
    t2_weights, diffusion_weights = joined.chunk(2)
    if path == "t2":
        return member.t2_path, member.t2_channels, t2_weights
    return member.diffusion_path, member.diffusion_channels, diffusion_weights


def bias_of(member: TwoPathNet) -> torch.Tensor:
    """The bias of the fully connected layer, ``[]``."""
    return cast(torch.nn.Linear, member.head[-1]).bias[0]


def _path_share(member: TwoPathNet, path: NetworkPath, image: torch.Tensor) -> torch.Tensor:
    layers, channels, weights = path_of(member, path)
    features = layers(image[:, channels].contiguous(memory_format=torch.channels_last_3d))
    return torch.cat([features.mean(dim=(2, 3, 4)), features.amax(dim=(2, 3, 4))], dim=1)[0] @ weights


@contextmanager
def reproducible() -> Iterator[None]:
    """One CPU thread and no TF32: neither the machine's load nor its GPU moves a logit past the guard band."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(threads)
