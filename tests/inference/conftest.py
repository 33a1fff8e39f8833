"""An ensemble that all share, and one for each test to change."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_ensemble(ensemble_factory, tmp_path_factory) -> Path:
    """An ensemble that no test changes."""
    return ensemble_factory(tmp_path_factory.mktemp("parcel") / "small")


@pytest.fixture
def ensemble_folder(shared_ensemble, tmp_path) -> Path:
    """An ensemble for one test to change."""
    return shutil.copytree(shared_ensemble, tmp_path / "small")
