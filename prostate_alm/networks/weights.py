"""Reading and writing torch files: never code, never half a file."""

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch

from prostate_alm.files import replacing


def load_weights(source: Path | IO[bytes]) -> dict[str, Any]:
    """Load a mapping of tensors and plain values onto the CPU.

    Raises:
        pickle.UnpicklingError: the file holds anything that would run code.
    """
    return torch.load(source, map_location="cpu", weights_only=True)  # noqa: TID251 - the one place, weights only


def save_atomically(content: Mapping[str, Any], path: Path) -> None:
    """`torch.save` so that `path` holds either the old content or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        torch.save(content, temporary)
