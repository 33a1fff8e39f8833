"""A pose moves what it says, in millimetres, and all channels alike."""

import pytest
import torch

from prostate_alm.augmentation.pose import Pose, RandomPose, apply_pose

BOX = (32.0, 32.0, 24.0)  # voxels of 1 x 1 x 3 mm


def spot(x: int, y: int, z: int) -> torch.Tensor:
    image = torch.zeros(2, 32, 32, 8)
    image[:, x, y, z] = 1.0
    return image


def peak(image: torch.Tensor) -> list[int]:
    return [int(i) for i in torch.unravel_index(image[0].argmax(), image[0].shape)]


def test_no_motion_is_the_identity() -> None:
    image = torch.rand(2, 32, 32, 8)
    assert torch.allclose(apply_pose(image, Pose(), box_mm=BOX), image, atol=1e-5)


@pytest.mark.parametrize(
    ("pose", "expected"),
    [
        (Pose(shift_mm=(4.0, -3.0, 6.0)), [24, 7, 5]),  # 6 mm are two voxels of 3 mm
        (Pose(flip=True), [11, 10, 3]),
        (Pose(angle=90.0), [21, 20, 3]),
        (Pose(scale=2.0), [25, 5, 2]),
    ],
)
def test_a_pose_moves_a_spot_in_millimetres(pose: Pose, expected: list[int]) -> None:
    moved = apply_pose(spot(20, 10, 3), pose, box_mm=BOX)
    assert all(abs(a - b) <= 1 for a, b in zip(peak(moved), expected, strict=True)), peak(moved)
    assert torch.equal(moved[0], moved[1])


def test_what_enters_from_outside_is_padding() -> None:
    moved = apply_pose(torch.ones(1, 32, 32, 8), Pose(shift_mm=(16.0, 0.0, 0.0)), box_mm=BOX)
    assert moved[0, :15].abs().max() < 1e-5
    assert moved[0, 17:].min() > 0.99


def test_a_seed_repeats_the_draw_and_draws_differ() -> None:
    entry = {"image": torch.rand(1, 32, 32, 8), "label": 1}

    def draws(seed: int) -> list[torch.Tensor]:
        pose = RandomPose(BOX)
        pose.set_random_state(seed)
        return [pose(entry)["image"] for _ in range(2)]

    assert all(torch.equal(a, b) for a, b in zip(draws(1), draws(1), strict=True))
    assert not torch.equal(*draws(1))
    assert not torch.equal(draws(1)[0], draws(2)[0])
    assert RandomPose(BOX)(entry)["label"] == 1
