"""Random rigid motion, scale and left-right flip: one draw moves all channels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.transforms.transform import Randomizable, Transform


@dataclass(frozen=True)
class Pose:
    """One draw.

    Attributes:
        angle: in-plane rotation in degrees.
        shift_mm: translation along H, W, D.
        scale: magnification.
        flip: whether left and right change places.
    """

    angle: float = 0.0
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = 1.0
    flip: bool = False


def apply_pose(image: torch.Tensor, pose: Pose, *, box_mm: Sequence[float]) -> torch.Tensor:
    """Move `image` ``[C, H, W, D]``, which covers `box_mm`, by `pose`; what enters from outside is 0."""
    box = torch.tensor(box_mm, dtype=torch.float64)
    cos, sin = np.cos(np.radians(pose.angle)), np.sin(np.radians(pose.angle))
    inverse = torch.tensor([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64) / pose.scale
    offset = -inverse @ torch.tensor(pose.shift_mm, dtype=torch.float64)
    if pose.flip:
        inverse[0], offset[0] = -inverse[0], -offset[0]
    unit = torch.cat([inverse * (box / box[:, None]), (2 * offset / box)[:, None]], dim=1)
    theta = torch.cat([unit[:, :3].flip(0, 1), unit[:, 3:].flip(0)], dim=1)  # grid_sample counts axes from the last
    grid = torch.nn.functional.affine_grid(theta[None].to(image.dtype), [1, *image.shape], align_corners=False)
    return torch.nn.functional.grid_sample(image[None], grid, padding_mode="zeros", align_corners=False)[0]


class RandomPose(Randomizable, Transform):
    """Draw a `Pose` for each entry and move its "image" by it.

    Args:
        box_mm: what the image covers along H, W, D, so that angles and shifts are true in anisotropic voxels.
        angle: largest in-plane rotation in degrees.
        shift_mm: largest translation along each axis.
        scale: largest relative change of size.
        flip: probability of a left-right flip.
    """

    def __init__(
        self,
        box_mm: Sequence[float],
        *,
        angle: float = 10.0,
        shift_mm: float = 8.0,
        scale: float = 0.1,
        flip: float = 0.5,
    ) -> None:
        self.box_mm = tuple(box_mm)
        self.angle, self.shift_mm, self.scale, self.flip = angle, shift_mm, scale, flip
        self.pose = Pose()

    def randomize(self, data: object = None) -> None:
        """Draw the next pose."""
        x, y, z = self.R.uniform(-self.shift_mm, self.shift_mm, size=3).tolist()
        self.pose = Pose(
            angle=float(self.R.uniform(-self.angle, self.angle)),
            shift_mm=(x, y, z),
            scale=float(1.0 + self.R.uniform(-self.scale, self.scale)),
            flip=bool(self.R.random() < self.flip),
        )

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the entry with its "image" moved."""
        self.randomize()
        return {**data, "image": apply_pose(data["image"], self.pose, box_mm=self.box_mm)}
