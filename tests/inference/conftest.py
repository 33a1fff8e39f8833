"""Small ensembles with random weights, written as training writes them."""

from pathlib import Path

import pytest
import torch

from prostate_alm.evaluation.operating_point import OperatingPoints, choose_operating_point
from prostate_alm.networks.two_path import TwoPathNet
from prostate_alm.training.ensemble_writer import EnsembleContent, write_ensemble

BUNDLE = Path(__file__).parents[2] / "bundles" / "prostate_dce"
NETWORK = {"widths": [2, 4], "depth_pools": 1, "t2_pool": [1, 1, 1]}


def member_weights(seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return TwoPathNet(**NETWORK).state_dict()


def small_ensemble(folder: Path, *, weights=None) -> Path:
    """Write an ensemble of three members."""
    points = [
        choose_operating_point([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0], [0, 0, 0, 1, 1, 1], false_negatives=k)
        for k in (0, 1, 2)
    ]
    content = EnsembleContent(
        name="small",
        bundle=BUNDLE,
        network=NETWORK,
        weights=weights or [member_weights(seed) for seed in range(3)],
        profile="tiny",
        box_mm=(128.0, 128.0, 72.0),
        points=OperatingPoints(points=points),
        card="# Small\n",
        seeds=[0, 1, 2],
        datalist_sha256="0" * 64,
        training={"loss": "bce"},
    )
    write_ensemble(folder, content)
    return folder


@pytest.fixture(scope="session")
def ensemble_factory():
    return small_ensemble


@pytest.fixture(scope="session")
def weights_factory():
    return member_weights


@pytest.fixture(scope="session")
def shared_ensemble(tmp_path_factory) -> Path:
    """An ensemble that no test changes."""
    return small_ensemble(tmp_path_factory.mktemp("parcel") / "small")


@pytest.fixture
def ensemble_folder(tmp_path) -> Path:
    """An ensemble for one test to change."""
    return small_ensemble(tmp_path / "small")
