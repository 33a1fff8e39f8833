"""Members on a Ray cluster of two nodes are those of one machine, bit for bit."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from prostate_alm.errors import TrainingError
from prostate_alm.networks.weights import load_weights
from prostate_alm.training.backends import LocalBackend, make_backend
from prostate_alm.training.ensemble import Backend, EnsembleRun, train_members
from prostate_alm.training.ray_backend import RayBackend

pytest.importorskip("ray", reason="Ray is an optional extra: pip install 'prostate-alm[ray]'")
BUNDLE = Path(__file__).parents[2] / "bundles" / "prostate_dce"


@pytest.fixture
def run(cohort: Path, tmp_path: Path) -> EnsembleRun:
    settings = {
        "profile": "tiny", "max_epochs": 2, "batch_size": 4, "network_def#widths": [4, 4], "tracker": "none",
        "device": "$torch.device('cpu')", "cache_dir": str(tmp_path / "cache"),
    }  # fmt: skip
    return EnsembleRun(BUNDLE, cohort, tmp_path / "ray", members=2, folds=2, settings=settings)


def trained(run: EnsembleRun, backend: Backend) -> EnsembleRun:
    try:
        run.claim()
        train_members(run, backend, on_progress=lambda step: None)
    finally:
        backend.close()
    return run


def test_two_nodes_give_the_members_of_one_machine(cluster: str, run: EnsembleRun, runs: SimpleNamespace) -> None:
    backend = make_backend("ray", address=cluster)
    assert backend.slots == 2
    spread = trained(run, backend)
    alone = trained(dataclasses.replace(run, out=run.out.with_name("local")), LocalBackend(workers=2, threads=1))
    for member in range(2):
        for name in ("model.pt", "run_state.pt"):
            first, second = (load_weights(one.folder(member) / name) for one in (spread, alone))
            assert runs.differing(first, second) == []
        logs = [(one.folder(member) / "epochs.jsonl").read_text() for one in (spread, alone)]
        assert logs[0] == logs[1]
        assert len([json.loads(line) for line in logs[0].splitlines()]) == 2


def test_a_node_without_the_runs_folder_or_with_other_data_says_so(cluster: str, run: EnsembleRun) -> None:
    backend = RayBackend(address=cluster)
    try:
        error = backend.submit(run, 0).exception(timeout=300)
        assert isinstance(error, TrainingError)
        assert "has no run's folder" in str(error)
        assert "shared file system" in str(error)
    finally:
        backend.close()
