"""Hide one path's channels from the network, to see what the other one knows: the modality-drop check."""

from collections.abc import Mapping, Sequence
from typing import Any

from monai.transforms.transform import Transform

from prostate_alm.errors import ArgumentError

PATHS = ("none", "t2", "diffusion")


class HidePath(Transform):
    """Set the channels of one path to 0, which is what padding and the mean of an image are.

    It acts on training, validation and scoring alike, after the cache; a network trained so is no network to serve.

    Args:
        path: none, t2 or diffusion.
        t2_channels: channels of `image` that the T2 path reads.
        diffusion_channels: channels of `image` that the diffusion path reads.

    Raises:
        ArgumentError: an unknown path.
    """

    def __init__(self, path: str, *, t2_channels: Sequence[int], diffusion_channels: Sequence[int]) -> None:
        if path not in PATHS:
            raise ArgumentError(f"`drop_path` is {path!r}. Available: {', '.join(PATHS)}.")
        self.channels = {"none": [], "t2": list(t2_channels), "diffusion": list(diffusion_channels)}[path]

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entry with its "image" ``[C, H, W, D]`` less these channels."""
        if not self.channels:
            return dict(data)
        image = data["image"].clone()
        image[self.channels] = 0.0
        return {**data, "image": image}
