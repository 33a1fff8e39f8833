"""A hidden path is 0 wherever the network looks, and its member is no network to serve."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle.workflows import ConfigWorkflow

from prostate_alm.errors import ArgumentError, TrainingError
from prostate_alm.training.assembly import refuse_hidden_path
from prostate_alm.training.ensemble import EnsembleRun
from prostate_alm.training.hidden_path import HidePath

BUNDLE = Path(__file__).parents[2] / "bundles" / "prostate_dce"
MakeWorkflow = Callable[..., ConfigWorkflow]
CHANNELS: dict[str, Any] = {"t2_channels": [0], "diffusion_channels": [1, 2]}


@pytest.mark.parametrize(("path", "hidden"), [("none", []), ("t2", [0]), ("diffusion", [1, 2])])
def test_only_this_path_is_hidden(path: str, hidden: list[int]) -> None:
    image = torch.rand(3, 4, 4, 2) + 1.0
    before = image.clone()
    seen = HidePath(path, **CHANNELS)({"image": image, "label": 1})
    assert [channel for channel in range(3) if not seen["image"][channel].any()] == hidden
    assert all(torch.equal(seen["image"][c], before[c]) for c in range(3) if c not in hidden)
    assert torch.equal(image, before)  # what is cached stays whole
    assert seen["label"] == 1


def test_an_unknown_path_is_refused() -> None:
    with pytest.raises(ArgumentError, match="Available: none, t2, diffusion"):
        HidePath("dwi", **CHANNELS)


@pytest.mark.parametrize("side", ["train", "validate"])
def test_both_sides_of_a_member_see_the_same_path(member_workflow: MakeWorkflow, tmp_path: Path, side: str) -> None:
    workflow = member_workflow(tmp_path, drop_path="diffusion")
    dataset = workflow.parser.get_parsed_content(f"{side}#dataset")
    image = dataset[0]["image"]
    assert image[0].any()
    assert not image[1:].any()


def test_an_ensemble_of_it_is_refused_before_training(cohort: Path, tmp_path: Path) -> None:
    run = EnsembleRun(BUNDLE, cohort, tmp_path, 2, 2, settings={"drop_path": "t2"})
    with pytest.raises(TrainingError, match="sanity modality"):
        refuse_hidden_path(run)
    refuse_hidden_path(dataclasses.replace(run, settings={"drop_path": "none"}))
