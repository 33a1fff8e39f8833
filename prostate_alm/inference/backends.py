"""Which backend computes the members: OpenVINO where it gives the logits of torch, else torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from prostate_alm.errors import ArgumentError, EnsembleError
from prostate_alm.evaluation.reference import GoldenCase
from prostate_alm.inference.golden import TOLERANCE, golden_difference, largest_difference
from prostate_alm.inference.members import Members, TorchMembers
from prostate_alm.networks.ensemble import EnsembleNet

BACKENDS = ("auto", "torch", "openvino")


@dataclass(frozen=True, eq=False)
class Choice:
    """The members, and why it is not the faster backend; empty when it is, or when torch was asked for."""

    members: Members
    note: str


def choose_members(
    network: EnsembleNet,
    *,
    backend: str,
    device: torch.device,
    images: Mapping[str, torch.Tensor],
    golden: Sequence[GoldenCase],
) -> Choice:
    """Take a backend that gives the golden logits. torch must give them in any case; it is what the others are held to.

    Args:
        network: the ensemble, on the CPU.
        backend: "torch", "openvino", or "auto": OpenVINO where it can be had and is exact, else torch.
        device: where torch runs; OpenVINO runs on the CPU.
        images: the phantoms.
        golden: their stored logits.

    Raises:
        EnsembleError: torch does not give the golden logits, or OpenVINO was asked for and does not.
        ArgumentError: `backend` is unknown, or OpenVINO was asked for and can't be had.
    """
    if backend not in BACKENDS:
        raise ArgumentError(f"`backend` is {backend!r}. Available: {', '.join(BACKENDS)}.")
    by_torch = TorchMembers(network, device)
    difference = golden_difference(by_torch, images, golden)
    if not difference <= TOLERANCE:
        raise EnsembleError(
            f"the members' logits of the golden phantoms differ from the stored ones by {difference:.1e}, at most "
            f"{TOLERANCE:.0e} is expected: this machine does not compute what that of the training did, or the weights "
            "are unusable. Try another machine or `--device cpu`, or train the ensemble again."
        )
    if backend == "torch":
        return Choice(by_torch, "")
    try:
        return Choice(_openvino(network, by_torch, device=device, images=images, golden=golden), "")
    except (ArgumentError, EnsembleError) as error:
        if backend == "openvino":
            raise
        return Choice(by_torch, str(error))


def _openvino(
    network: EnsembleNet,
    by_torch: Members,
    *,
    device: torch.device,
    images: Mapping[str, torch.Tensor],
    golden: Sequence[GoldenCase],
) -> Members:
    """The members in OpenVINO, after they gave what torch gives.

    Raises:
        ArgumentError: torch has a GPU, OpenVINO is not installed, or it does not know a layer.
        EnsembleError: it fails, or its logits are others.
    """
    if device.type != "cpu":
        raise ArgumentError("the OpenVINO backend computes on the CPU; take `--device cpu` for it.")
    try:
        from prostate_alm.inference.openvino_members import OpenVINOMembers  # noqa: PLC0415 - an extra
    except (ImportError, OSError):  # not there, or a library of its own is not
        raise ArgumentError("OpenVINO is not installed; `pip install prostate-alm[fast]` brings it.") from None
    try:
        channels, height, width, depth = next(iter(images.values())).shape
        members = OpenVINOMembers(network, (channels, height, width, depth))
        from_torch = max(largest_difference(members.logits(image), by_torch.logits(image)) for image in images.values())
    except ArgumentError:
        raise
    except Exception as error:  # whatever OpenVINO raises on this machine
        raise EnsembleError(f"OpenVINO could not compute the members ({type(error).__name__}).") from error
    difference = max(from_torch, golden_difference(members, images, golden))
    if not difference <= TOLERANCE:
        raise EnsembleError(
            f"OpenVINO's logits of the golden phantoms differ by {difference:.1e} from those of torch, at most "
            f"{TOLERANCE:.0e} is allowed."
        )
    return members
