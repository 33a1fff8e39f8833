"""Find a training bundle, and what it can be told."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from prostate_alm.errors import ArgumentError


def find_bundle(name: str) -> Path:
    """Return the folder of a bundle given by folder or by name; the wheel ships the bundles.

    Raises:
        ArgumentError: there is none; the message lists the shipped ones.
    """
    if (Path(name) / "configs" / "train.yaml").is_file():
        return Path(name).absolute()
    package = Path(str(files("prostate_alm")))
    shipped = next(place for place in (package / "bundles", package.parent / "bundles") if place.is_dir())
    if (shipped / name / "configs" / "train.yaml").is_file():
        return shipped / name
    available = sorted(path.parents[1].name for path in shipped.glob("*/configs/train.yaml"))
    raise ArgumentError(f"`{name}` is neither a bundle folder nor a shipped bundle. Available: {', '.join(available)}.")


def settings_of(bundle: Path) -> dict[str, Any]:
    """Everything that stands at the top level of a bundle's `train.yaml`, as it is written there."""
    return yaml.safe_load((bundle / "configs" / "train.yaml").read_text(encoding="utf-8"))


def plain_settings(bundle: Path) -> dict[str, str | int | float | bool | None]:
    """What a user sets at the top of a bundle's `train.yaml`: its plain values, without expressions and paths."""
    return {
        name: value
        for name, value in settings_of(bundle).items()
        if name != "bundle_root"
        and (value is None or isinstance(value, int | float | bool | str))
        and not str(value).startswith(("$", "@"))
    }
