"""Read `configs/inference.yaml` of an ensemble as data; nothing in it is ever run here.

The file is also a MONAI config, which `monai.bundle` would execute. An ensemble therefore may hold only the
components and expressions of the bundle it was trained from, each allowed by its exact words: a folder that
this reader accepts does nothing else in MONAI's hands either.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prostate_alm.errors import EnsembleError

ALLOWED_TARGETS = frozenset(
    {
        "monai.data.DataLoader",
        "monai.data.Dataset",
        "monai.engines.SupervisedEvaluator",
        "monai.handlers.CheckpointLoader",
        "monai.handlers.ClassificationSaver",
        "monai.inferers.SimpleInferer",
        "monai.transforms.Compose",
        "monai.transforms.Lambda",
        "monai.transforms.SelectItemsd",
        "prostate_alm.networks.ensemble.EnsembleNet",
        "prostate_alm.networks.two_path.TwoPathNet",
        "prostate_alm.preprocessing.StudyToImage",
        "prostate_alm.readers.nifti.LoadStudy",
    }
)
ALLOWED_EXPRESSIONS = frozenset(
    {
        "$import torch",
        "$import monai",
        "$@bundle_root + '/data'",
        "$@bundle_root + '/eval'",
        "$@bundle_root + '/models/model.pt'",
        "$@dataset_dir + '/datalist.json'",
        "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "$@network_def.to(@device)",
        "$@loss_name == 'ldam'",
        "$monai.data.load_decathlon_datalist(@datalist, False, @section, @dataset_dir)",
        "$lambda batch: [{'filename_or_obj': item['study']} for item in batch]",
        "$monai.handlers.from_engine(['pred'])",
        "$monai.data.set_track_meta(False)",
        "$@evaluator.run()",
        "@dataloader",
        "@dataset",
        "@device",
        "@handlers",
        "@inferer",
        "@network",
        "@output_dir",
        "@preprocessing",
        "@study_to_image",
    }
)
EXPRESSION_MARKS = "$@%"  # MONAI: evaluate, refer, insert from a file
LARGEST_BYTES = 1_000_000

Millimetres = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Component(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NetworkDefinition(_Component):
    """`network_def`: the arguments of `EnsembleNet`."""

    target: Literal["prostate_alm.networks.ensemble.EnsembleNet"] = Field(alias="_target_")
    members: int = Field(ge=1, le=1000)
    network: dict[str, int | float | bool | list[int]] = Field(description="arguments of each `TwoPathNet`")


class ImageDefinition(_Component):
    """`study_to_image`: the arguments of `StudyToImage`."""

    target: Literal["prostate_alm.preprocessing.StudyToImage"] = Field(alias="_target_")
    profile: Literal["tiny", "fast", "full"]
    box_mm: list[Millimetres] = Field(min_length=3, max_length=3)
    version: int = Field(description="of the preprocessing code that made the training images")


class InferenceConfig(BaseModel):
    """What serving takes from `configs/inference.yaml`; the rest of the file is for `monai.bundle`."""

    model_config = ConfigDict(frozen=True)

    network_def: NetworkDefinition
    study_to_image: ImageDefinition


def read_inference_config(content: bytes) -> InferenceConfig:
    """Read the content of `configs/inference.yaml` after checking all of it against the allow-lists.

    Raises:
        EnsembleError: it is no YAML, holds a component or an expression that is not allowed, or the network or
            the preprocessing is not described.
    """
    if len(content) > LARGEST_BYTES:
        raise EnsembleError(f"configs/inference.yaml has {len(content)} bytes, at most {LARGEST_BYTES} are expected.")
    try:
        config = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise EnsembleError(f"configs/inference.yaml is no YAML ({type(error).__name__}); restore it.") from None
    refuse_code(config)
    try:
        return InferenceConfig.model_validate(config)
    except ValidationError as error:
        # without the input, whose anchors could make its text endless
        fields = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise EnsembleError(f"configs/inference.yaml does not describe an ensemble: {fields}") from None


def refuse_code(config: object) -> None:
    """Check every component and every expression of a config against the allow-lists.

    Raises:
        EnsembleError: one is not allowed; the message quotes its beginning.
    """
    for mapping, value in _strings(config):
        if mapping == "_target_" and value not in ALLOWED_TARGETS:
            raise EnsembleError(f"configs/inference.yaml names the component `{value[:80]}`, which is not allowed.")
        if any(mark in value for mark in EXPRESSION_MARKS) and value not in ALLOWED_EXPRESSIONS:
            raise EnsembleError(f"configs/inference.yaml holds the expression `{value[:80]}`, which is not allowed.")


def _strings(config: object) -> Iterator[tuple[str, str]]:
    """Every string of a config with the key it stands under, keys themselves included.

    Each container is entered once: YAML's anchors can repeat one many times, or put it into itself.
    """
    pending: list[tuple[str, Any]] = [("", config)]
    entered: set[int] = set()
    while pending:
        key, value = pending.pop()
        if key == "_target_" and not isinstance(value, str):
            raise EnsembleError("configs/inference.yaml has a `_target_` that is no name; restore the file.")
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, Mapping | list) and id(value) not in entered:
            entered.add(id(value))
            if isinstance(value, Mapping):
                pending += [("", name) for name in value]
                pending += [(str(name), content) for name, content in value.items()]
            else:
                pending += [(key, content) for content in value]
