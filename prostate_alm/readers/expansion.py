"""How much larger a study may become when it is unpacked: a megabyte of zeros must not cost gigabytes of memory."""

from prostate_alm.errors import Reason, StudyRefusedError

FREE_VOXELS = 1 << 23
"""So many are read whatever they were packed into, 32 MB as float32: a small series masked to zeros packs very well."""
VOXELS_PER_BYTE = 10
"""Noise packs into half a byte a voxel or more, an image of which 90 % are masked into 0.1."""
LARGEST_VOXELS = 1 << 27
"""Of one file or series: 512 x 512 x 128 with four b-values."""


def refuse_expansion(voxels: int, packed_bytes: int, name: str) -> None:
    """Raise for an image whose header promises more than its bytes could hold.

    Args:
        voxels: that would be read.
        packed_bytes: size of the files they come from.
        name: of the image, for the message.

    Raises:
        StudyRefusedError: too many voxels.
    """
    if voxels > min(LARGEST_VOXELS, max(FREE_VOXELS, VOXELS_PER_BYTE * packed_bytes)):
        raise StudyRefusedError(
            Reason.INPUT_TOO_LARGE,
            f"{name} has {voxels} voxels in {packed_bytes} bytes, which no acquired image has; export it uncompressed.",
        )
