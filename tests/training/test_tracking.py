"""TensorBoard and MLflow show the epochs of the log, each once, however often the member was killed."""

import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from monai.bundle.workflows import ConfigWorkflow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from prostate_alm.errors import ArgumentError, TrainingError
from prostate_alm.networks.weights import load_weights
from prostate_alm.training.tracking import MLflowTracker, TensorBoardTracker

MakeWorkflow = Callable[..., ConfigWorkflow]
ROWS: list[dict[str, float]] = [{"epoch": 1, "loss": 0.7, "val_auc": 0.5}, {"epoch": 2, "loss": 0.6}]


def train(workflow: ConfigWorkflow) -> None:
    workflow.run()
    workflow.finalize()


def events(folder: Path) -> EventAccumulator:
    """What TensorBoard would read."""
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0})
    accumulator.Reload()
    return accumulator


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, round(event.value, 5)) for event in events(folder).Scalars(name)]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_killed_member_shows_each_epoch_once(
    member_workflow: MakeWorkflow, tmp_path: Path, runs: SimpleNamespace
) -> None:
    for iteration in (2, 5, 8):  # in the first, second and third of four epochs
        runs.kill(member_workflow(tmp_path), iteration)
    train(member_workflow(tmp_path))
    rows = rows_of(tmp_path / "epochs.jsonl")
    folder = tmp_path / "tensorboard"
    names = {"base", "penalty", "multiplier", "mu", "violations", "val_auc", "fpr_at_0_fn", "fpr_at_1_fn"}
    assert names | {"multiplier_median", "multiplier_q90", "largest_multiplier"} <= set(
        events(folder).Tags()["scalars"]
    )
    for name in names:
        assert scalars(folder, name) == [(row["epoch"], round(row[name], 5)) for row in rows]
    histograms = events(folder).Histograms("multipliers")
    assert [event.step for event in histograms] == [1, 2, 3, 4]
    assert histograms[-1].histogram_value.num == 4  # patients who need DCE, of three folds with two each


def test_the_logs_say_the_same_of_the_multipliers(member_workflow: MakeWorkflow, tmp_path: Path) -> None:
    train(member_workflow(tmp_path))
    state = load_weights(tmp_path / "run_state.pt")["objects"]["loss"]["multipliers"]
    rows, epochs = rows_of(tmp_path / "multipliers.jsonl"), rows_of(tmp_path / "epochs.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["multiplier"] == pytest.approx(state[rows[-1]["index"]].tolist(), abs=1e-6)
    assert sorted(torch.nonzero(state).flatten().tolist()) == sorted(
        number for number, value in zip(rows[-1]["index"], rows[-1]["multiplier"], strict=True) if value > 0
    )
    for row, epoch in zip(rows, epochs, strict=True):
        assert epoch["multiplier_median"] == pytest.approx(statistics.median(row["multiplier"]), abs=1e-6)
        assert epoch["largest_multiplier"] == pytest.approx(max(row["multiplier"]), abs=1e-6)


def test_without_tracking_or_constraint_only_the_log_is_written(member_workflow: MakeWorkflow, tmp_path: Path) -> None:
    train(member_workflow(tmp_path, max_epochs=1, alm=False, tracker="none"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epochs.jsonl", "model.pt", "run_state.pt"]
    (row,) = rows_of(tmp_path / "epochs.jsonl")
    assert set(row) == {"epoch", "loss", "val_auc", "fpr_at_0_fn", "fpr_at_1_fn"}


def test_a_name_that_is_no_tracking_is_refused(member_workflow: MakeWorkflow, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:  # MONAI wraps whatever a config's component raises
        member_workflow(tmp_path, tracker="tensorbord").run()
    assert isinstance(caught.value.__cause__, ArgumentError)


def test_what_an_earlier_process_showed_is_written_anew(tmp_path: Path) -> None:
    for rows in (ROWS, ROWS[:1]):  # the first process was killed before its second epoch was saved
        TensorBoardTracker(tmp_path).write(rows, torch.ones(len(rows), 3))
    assert scalars(tmp_path, "loss") == [(1, 0.7)]


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own, with SQLAlchemy 2.1
@pytest.mark.usefixtures("no_server")
def test_mlflow_holds_each_epoch_once(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is an extra")
    for rows in (ROWS[:1], ROWS):  # of a process that was killed, and the one that resumed
        tracker = MLflowTracker(tmp_path / "member_00", {"mu": 0.01})
        tracker.write(rows, torch.ones(len(rows), 3))
    tracker.finish()
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("prostate-alm").experiment_id])
    assert (run.data.params, run.info.status) == ({"mu": "0.01"}, "FINISHED")
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.7), (2, 0.6)]
    assert len(client.get_metric_history(run.info.run_id, "val_auc")) == 1


def test_mlflow_that_is_not_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(TrainingError, match=r"pip install prostate-alm\[mlflow\]"):
        MLflowTracker(tmp_path, {})
