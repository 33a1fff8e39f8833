"""A crop moves whole pixels by at most the padding, a flip mirrors them, and each image has its own draw."""

import pytest
import torch

from prostate_alm.augmentation.crop_flip import CropFlip, Crops, apply_crops, draw_crops
from prostate_alm.errors import ArgumentError


def batch(count: int = 16, height: int = 32, width: int = 32) -> torch.Tensor:
    return torch.randint(1, 256, (count, 3, height, width), dtype=torch.uint8)


def looped(images: torch.Tensor, crops: Crops, padding: int) -> torch.Tensor:
    """Pixel by pixel from the definition: 0 outside the image, mirrored after the crop."""
    count, channels, height, width = images.shape
    out = torch.zeros_like(images)
    for b in range(count):
        for y in range(height):
            for x in range(width):
                column = width - 1 - x if crops.flip[b] else x
                row = y + int(crops.top[b]) - padding
                column += int(crops.left[b]) - padding
                if 0 <= row < height and 0 <= column < width:
                    for c in range(channels):
                        out[b, c, y, x] = images[b, c, row, column]
    return out


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_a_loop_over_pixels_gives_the_same_images(padding: int) -> None:
    images = batch(6, height=9, width=12)
    expected = looped(images, draw_crops(6, padding=padding, generator=torch.Generator().manual_seed(3)), padding)
    before = images.clone()
    assert torch.equal(CropFlip(padding)(images, torch.Generator().manual_seed(3)), expected)
    assert torch.equal(images, before)


def test_the_centre_crop_without_a_flip_is_the_image() -> None:
    images, centre = batch(), torch.full((16,), 4)
    assert torch.equal(apply_crops(images, Crops(centre, centre, torch.zeros(16) > 0), padding=4), images)
    assert torch.equal(apply_crops(images, Crops(centre, centre, torch.zeros(16) == 0), padding=4), images.flip(-1))


def test_offsets_reach_each_place_alike_and_half_the_images_are_flipped() -> None:
    crops = draw_crops(90_000, padding=4, generator=torch.Generator().manual_seed(0))
    for offsets in (crops.top, crops.left):
        counts = torch.bincount(offsets, minlength=9)
        assert counts.numel() == 9
        assert (counts - 10_000).abs().max() < 500  # five standard deviations of a binomial count are 471
    assert abs(crops.flip.float().mean() - 0.5) < 5 * 0.5 / 90_000**0.5
    together = torch.stack([crops.top.float(), crops.left.float(), crops.flip.float()]).corrcoef()
    assert (together - torch.eye(3)).abs().max() < 0.02


def test_each_image_has_its_own_draw() -> None:
    same = batch(1).expand(200, -1, -1, -1)
    moved = CropFlip()(same, torch.Generator().manual_seed(0))
    assert len({bytes(image.numpy()) for image in moved}) > 100  # of 162 places


def test_pixels_are_never_mixed() -> None:
    # each pixel's three channels are one of 1024 triples: a mixed pixel would be another one
    place = torch.arange(32 * 32).reshape(32, 32)
    image = torch.stack([place // 32 + 1, place % 32 + 1, torch.full_like(place, 200)]).to(torch.uint8)
    moved = CropFlip()(image.expand(64, -1, -1, -1)).permute(1, 0, 2, 3).reshape(3, -1)
    inside = moved[:, moved[2] != 0]
    assert set(inside[2].tolist()) == {200}
    assert inside[:2].min() >= 1
    assert (moved[:, moved[2] == 0] == 0).all()


def test_the_global_generator_or_ones_own_repeats_the_draw() -> None:
    images = batch()
    torch.manual_seed(7)
    first = CropFlip()(images)
    assert not torch.equal(first, CropFlip()(images))
    torch.manual_seed(7)
    assert torch.equal(first, CropFlip()(images))
    assert torch.equal(first, CropFlip()(images, torch.Generator().manual_seed(7)))


def test_an_empty_batch_stays_empty() -> None:
    assert CropFlip()(batch(0)).shape == (0, 3, 32, 32)


def test_floats_single_images_and_negative_padding_are_refused() -> None:
    with pytest.raises(ArgumentError, match="unsigned bytes"):
        CropFlip()(batch().float())
    with pytest.raises(ArgumentError, match=r"shape \[3, 32, 32\]"):
        CropFlip()(batch()[0])
    with pytest.raises(ArgumentError, match="`padding`"):
        CropFlip(-1)
