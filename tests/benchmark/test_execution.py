"""A run from the archive to its record, really trained, on a few tiny images."""

import _thread
import json
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest

from prostate_alm.benchmark.execution import _commit_of, _workflow, attempt, check_data, commit, execute, figures
from prostate_alm.benchmark.records import Failure, RunRecord
from prostate_alm.errors import DatasetError
from prostate_alm.evaluation.roc import auc
from prostate_alm.networks.weights import load_weights, save_atomically


@pytest.fixture(scope="module")
def spec(tiny_spec):
    return tiny_spec(max_epochs=4)


@pytest.fixture(scope="module")
def record(spec, cifar_folder, tmp_path_factory) -> RunRecord:
    return execute(spec, cifar_folder, tmp_path_factory.mktemp("work"))


def test_a_record_is_complete(record, spec):
    assert record.spec == spec
    assert RunRecord.model_validate_json(record.model_dump_json()) == record
    assert record.counts == [56, 5]  # 60 of a class less 4 for validation, and a tenth
    assert [row["epoch"] for row in record.epochs] == [1, 2, 3, 4]
    assert {"loss", "base", "penalty", "multiplier", "mu", "val_auc"} <= record.epochs[0].keys()
    assert (record.seed, record.seconds > 0) == (0, True)
    assert {"torch", "monai", "numpy", "python", "prostate-alm"} == record.versions.keys()
    assert sorted(record.test.labels.array()) == [0] * 10 + [1] * 10
    assert sorted(record.validation.labels.array()) == [0] * 4 + [1] * 4


def test_the_kept_scores_are_those_of_the_best_epoch(tiny_spec, cifar_folder, tmp_path):
    # steps so large that the last epoch is often not the best
    specs = [tiny_spec(member=member, max_epochs=4, learning_rate=1.0) for member in range(20)]
    runs = (execute(spec, cifar_folder, tmp_path) for spec in specs)
    record = next(run for run in runs if run.best_epoch < 4)
    by_epoch = [row["val_auc"] for row in record.epochs]
    assert record.validation_metric == by_epoch[record.best_epoch - 1] == max(by_epoch) > by_epoch[-1]
    kept = record.validation
    assert auc(kept.critical.array(), kept.labels.array()) == pytest.approx(record.validation_metric)


def test_metrics_are_those_of_the_test_scores(record):
    assert figures(record.test, (1,)) == record.metrics
    scores, labels = record.test.critical.array(), record.test.labels.array()
    pairs = np.sign(scores[labels == 1][:, None] - scores[labels == 0])
    assert record.metrics["auc"] == pytest.approx(np.mean(pairs + 1) / 2)
    assert record.metrics["fpr@tpr=1.0"] == np.mean(scores[labels == 0] >= scores[labels == 1].min())


@pytest.mark.usefixtures("ctrl_c")
def test_a_run_that_was_interrupted_goes_on_after_its_last_epoch(record, spec, cifar_folder, tmp_path):
    state_file = tmp_path / spec.key / "run_state.pt"

    def press_ctrl_c():
        deadline = time.monotonic() + 60
        while not state_file.exists() and time.monotonic() < deadline:
            time.sleep(0.001)
        _thread.interrupt_main()

    threading.Thread(target=press_ctrl_c).start()
    with pytest.raises(KeyboardInterrupt):
        execute(spec, cifar_folder, tmp_path)
    state = load_weights(state_file)
    assert state["epoch"] < 4
    state["objects"]["epoch_log"]["rows"][0]["mark"] = 1.0  # comes back only if the run goes on from here
    save_atomically(state, state_file)
    assert json.loads((state_file.parent / "commits.json").read_text()) == [record.commit]
    (state_file.parent / "commits.json").write_text('["earlier"]')  # as if it had been begun under another commit
    resumed = execute(spec, cifar_folder, tmp_path).model_dump()
    assert resumed.pop("commit") == f"earlier, then {record.commit}"
    assert resumed["epochs"][0].pop("mark") == 1.0
    assert {**resumed, "seconds": 0} == {**record.model_dump(exclude={"commit"}), "seconds": 0}


def test_a_run_that_was_killed_before_its_first_epoch_is_of_the_commit_that_trains_it(
    tiny_spec, cifar_folder, tmp_path
):
    spec = tiny_spec(max_epochs=1)
    (tmp_path / spec.key).mkdir()
    (tmp_path / spec.key / "commits.json").write_text('["earlier"]')
    assert execute(spec, cifar_folder, tmp_path).commit == commit()


def test_a_run_killed_after_its_last_epoch_is_scored_without_training(record, spec, cifar_folder, tmp_path):
    folder = tmp_path / spec.key
    folder.mkdir()
    _workflow(spec, cifar_folder, folder).run()
    log = folder / "epochs.jsonl"
    log.write_text(log.read_text().replace('"epoch": 4', '"epoch": 4, "mark": 1'))  # training would write it anew
    scored = execute(spec, cifar_folder, tmp_path).model_dump()
    assert scored["epochs"][-1].pop("mark") == 1.0
    assert {**scored, "seconds": 0} == {**record.model_dump(), "seconds": 0}


def test_another_member_is_another_run_on_the_same_test_images(record, tiny_spec, cifar_folder, tmp_path):
    other = execute(tiny_spec(member=1, max_epochs=1), cifar_folder, tmp_path)
    assert other.seed != record.seed
    assert other.test.labels == record.test.labels
    assert other.test.critical != record.test.critical


def test_a_multiclass_run_has_the_figures_of_its_table(tiny_spec, cifar_folder, tmp_path):
    record = execute(
        tiny_spec(bundle="cifar10_long_tailed", max_epochs=1, ratio=28, batch_size=64), cifar_folder, tmp_path
    )
    assert (record.counts[0], record.counts[-1]) == (56, 2)
    assert figures(record.test, (9,)) == record.metrics
    prediction, labels = record.test.prediction, record.test.labels.array()
    assert prediction is not None
    assert record.metrics["accuracy"] == np.mean(prediction.array() == labels)
    assert record.metrics.keys() >= {"error@tpr=0.8", "error@tpr=0.9", "accuracy[9]"}
    assert record.validation_metric == record.epochs[0]["val_accuracy"]


@pytest.mark.parametrize("carry_out", [execute, lambda spec, data, work: check_data(spec, data)])
def test_data_that_can_not_be_used_is_our_own_error(carry_out, tiny_spec, cifar_folder, tmp_path):
    with pytest.raises(DatasetError, match="cifar"):
        carry_out(tiny_spec(), tmp_path, tmp_path)
    with pytest.raises(DatasetError, match="60 images"):
        carry_out(tiny_spec(validation_per_class=1000), cifar_folder, tmp_path)


def test_an_attempt_names_the_first_cause_and_not_what_wraps_it(tiny_spec, tmp_path):
    failure = attempt(tiny_spec(), tmp_path, tmp_path)
    assert isinstance(failure, Failure)
    assert failure.message.startswith("DatasetError: ")


def test_a_training_that_diverges_is_a_failure_that_says_so(tiny_spec, cifar_folder, tmp_path):
    failure = attempt(tiny_spec(learning_rate=1e30), cifar_folder, tmp_path)
    assert isinstance(failure, Failure)
    assert "diverged" in failure.message


@pytest.fixture
def checkout(tmp_path):
    """A checkout of this project, all committed."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    folder = tmp_path / "checkout"
    for file in ("prostate_alm/alm.py", "bundles/cifar/train.yaml", "docs/page.md"):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text("1")
    (folder / "pyproject.toml").write_text('[project]\nname = "prostate-alm"\n')
    run_git(folder, "init", "--quiet")
    run_git(folder, "add", ".")
    run_git(
        folder,
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b.c",
        "-c",
        "commit.gpgsign=no",
        "commit",
        "--quiet",
        "--message",
        "All",
    )
    return folder


def run_git(folder, *arguments):
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_that_of_the_checkout(checkout):
    head = run_git(checkout, "rev-parse", "HEAD")
    assert _commit_of(checkout) == head
    (checkout / "docs" / "page.md").write_text("2")  # decides no result
    assert _commit_of(checkout) == head


@pytest.mark.parametrize("file", ["prostate_alm/alm.py", "prostate_alm/new/loss.py", "bundles/cifar/train.yaml"])
def test_code_that_is_not_committed_is_told(checkout, file):
    (checkout / file).parent.mkdir(exist_ok=True)
    (checkout / file).write_text("2")
    assert _commit_of(checkout) == run_git(checkout, "rev-parse", "HEAD") + "+changes"


def test_another_projects_commit_is_not_ours(checkout):
    packages = checkout / ".venv" / "lib" / "site-packages"
    packages.mkdir(parents=True)
    assert _commit_of(packages) == "unknown"  # installed inside a checkout
    (checkout / "pyproject.toml").write_text('[project]\nname = "other"\n')
    assert _commit_of(checkout) == "unknown"  # copied into the root of one
    assert _commit_of(checkout.parent) == "unknown"  # no checkout


def test_the_commit_is_asked_for_before_the_training(tiny_spec, tmp_path):
    commit.cache_clear()
    assert isinstance(attempt(tiny_spec(), tmp_path, tmp_path), Failure)  # there are no data to train on
    assert commit.cache_info().currsize == 1
