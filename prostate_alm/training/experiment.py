"""An experiment file: everything `train` is told, in one YAML file, as `search` writes it too."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.operating_rules import parse_rules
from prostate_alm.files import replacing
from prostate_alm.losses.named import BINARY_NAMES
from prostate_alm.training.backends import BackendName
from prostate_alm.training.bundles import find_bundle, settings_of
from prostate_alm.training.ensemble import EnsembleRun
from prostate_alm.training.search_plan import SearchPlan

# said by a field of the experiment, or by the run itself
SAID_ELSEWHERE = {
    "profile": "profile", "alm": "alm", "max_epochs": "epochs", "loss_name": "loss", "folds": "folds", "seed": "seed",
    "datalist": "datalist", "dataset_dir": "datalist", "device": "device", "repeats": "members", "member": "members",
    "output_dir": "out", "cache_dir": "out", "bundle_root": "bundle", "tracker": "tracking",
}  # fmt: skip
PATHS = ("datalist", "out", "calibration")


def _known(name: str) -> str:
    """A loss for two classes."""
    if name not in BINARY_NAMES:
        raise ValueError(f"expected one of {', '.join(BINARY_NAMES)}")
    return name


def _rules(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Rules that can be read."""
    parse_rules(texts)
    return texts


class Experiment(BaseModel):
    """What to train an ensemble of, and where. Paths of a file are relative to its folder.

    Raises:
        ValidationError: a field is unknown or out of its range, or a setting is none of the bundle's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    bundle: str = Field(default="prostate_dce", description="name of a shipped bundle, or a bundle's folder")
    datalist: Path
    out: Path | None = Field(default=None, description="folder of the run")
    members: int = Field(default=10, ge=2)
    folds: int | None = Field(default=None, ge=2, description="None: 5 where it divides the members, else the members")
    seed: int = Field(default=0, ge=0, description="of splits and members")
    loss: Annotated[str, BeforeValidator(_known)] | None = Field(default=None, description="None: the bundle's")
    alm: bool = True
    profile: Literal["tiny", "fast", "full"] = "fast"
    epochs: int | None = Field(default=None, ge=1, description="None: the bundle's")
    settings: dict[str, Any] = Field(default={}, description="other values of the bundle's train.yaml")
    calibration: Path | None = Field(default=None, description="datalist of untouched patients")
    operating_points: Annotated[tuple[str, ...], AfterValidator(_rules)] = Field(
        default=(), description="rules such as 0-fn or sensitivity=0.95@0.95; none are at 0, 1 and 2 false negatives"
    )
    tracking: Literal["tensorboard", "mlflow", "none"] | None = Field(default=None, description="None: the bundle's")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int | None = Field(default=None, ge=1, description="processes here; None is one a core")
    backend: BackendName = "local"
    address: str | None = Field(default=None, description="of the Ray cluster; None starts one on this machine")
    gpus: float = Field(default=0.0, ge=0.0, description="of each member on the Ray cluster")
    search: SearchPlan = Field(default=SearchPlan(), description="what `prostate-alm search` tries")

    @model_validator(mode="after")
    def _settings_are_the_bundles(self) -> Self:
        known = settings_of(find_bundle(self.bundle))
        for name in self.settings:
            top = name.replace("::", "#").partition("#")[0]
            if name in SAID_ELSEWHERE:
                raise ValueError(f"`settings`: say `{name}` by the field `{SAID_ELSEWHERE[name]}`.")
            if top not in known:
                raise ValueError(f"`settings`: the bundle has no `{top}`. Available: {', '.join(sorted(known))}.")
        return self

    @property
    def drawn_folds(self) -> int:
        """F of each repeat: ten members are the paper's ten 80/20 splits, two repeats of five folds."""
        return self.folds or (5 if self.members % 5 == 0 else self.members)

    def run(self) -> EnsembleRun:
        """The run in `out`.

        Raises:
            ArgumentError: there is no `out`, or `members` is no multiple of the folds.
        """
        if self.out is None:
            raise ArgumentError("`out` is missing: give `--out DIR`, or `out: DIR` in the experiment file.")
        return EnsembleRun(
            bundle=find_bundle(self.bundle),
            datalist=self.datalist.absolute(),
            out=self.out.absolute(),
            members=self.members,
            folds=self.drawn_folds,
            seed=self.seed,
            settings=self.member_settings(),
        )

    def member_settings(self) -> dict[str, Any]:
        """Values of the bundle's `train.yaml` that the members are trained with, beside its defaults."""
        settings: dict[str, Any] = {"profile": self.profile, "alm": self.alm, **self.settings}
        if self.epochs is not None:
            settings["max_epochs"] = self.epochs
        if self.loss is not None:
            settings["loss_name"] = self.loss
        if self.tracking is not None:
            settings["tracker"] = self.tracking
        if self.device != "auto":
            settings["device"] = f"$torch.device('{self.device}')"
        return settings


def read_experiment(path: Path | None, flags: Mapping[str, Any]) -> Experiment:
    """Read an experiment file; `flags` win, each `settings` of theirs over the file's of that name.

    Args:
        path: YAML file; None: the flags are all there is.
        flags: by field; None is not given. Their paths are relative to the working folder.

    Raises:
        ArgumentError: the file can't be read, or a field of it or of the flags can't be used.
    """
    content = _fields(path) if path is not None else {}
    given = {name: value for name, value in flags.items() if value is not None and value != {}}
    if isinstance(content.get("settings"), dict) and "settings" in given:
        given["settings"] = {**content["settings"], **given["settings"]}
    try:
        return Experiment.model_validate({**content, **given})
    except ValidationError as error:
        raise ArgumentError(f"{_where(path)}: {_problems(error)}") from None


def write_experiment(experiment: Experiment, path: Path, *, comment: str) -> None:
    """Write an experiment file, its paths relative to its folder, whole or not at all.

    Args:
        experiment: what differs from the defaults is written.
        path: of the YAML file.
        comment: its first lines, without the sign.
    """
    content = experiment.model_dump(mode="json", exclude_defaults=True)
    content |= {name: os.path.relpath(content[name], path.parent) for name in PATHS if name in content}
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    with replacing(path) as temporary:
        temporary.write_text(lines + yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _fields(path: Path) -> dict[str, Any]:
    """The content of an experiment file, its paths absolute."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArgumentError(f"`{path}` can't be read ({error.strerror}); give the experiment's YAML file.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ArgumentError(f"`{path.name}` is no YAML ({type(error).__name__}).") from None
    if not isinstance(content, dict):
        raise ArgumentError(
            f"`{path.name}` is no experiment: expected fields such as `datalist: cohort/datalist.json`."
        )
    folder = path.absolute().parent
    content |= {name: str(folder / content[name]) for name in PATHS if isinstance(content.get(name), str)}
    if isinstance(content.get("bundle"), str) and (folder / content["bundle"]).is_dir():
        content["bundle"] = str(folder / content["bundle"])
    return content


def _where(path: Path | None) -> str:
    return "these arguments make no experiment" if path is None else f"`{path.name}` is no experiment that can be used"


def _problems(error: ValidationError) -> str:
    """Every field with what is wrong, without the values that came."""
    found = []
    for problem in error.errors(include_url=False, include_input=False):
        name, message = ".".join(str(part) for part in problem["loc"]), problem["msg"].removeprefix("Value error, ")
        found.append(f"`{name}`: {message}" if name else message)
    return "; ".join(found)
