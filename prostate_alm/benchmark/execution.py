"""Carry out one run: train the bundle, score the validation and the test samples with its best weights."""

import json
import logging
import os
import platform
import shutil
import subprocess
import time
import tomllib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from monai.bundle.config_parser import ConfigParser
from monai.bundle.workflows import ConfigWorkflow

from prostate_alm.benchmark.records import Failure, RunRecord, RunSpec
from prostate_alm.benchmark.run_figures import figures
from prostate_alm.benchmark.samples import check_is_asked_for, critical_classes, locations, score
from prostate_alm.errors import ProstateALMError
from prostate_alm.networks.weights import load_weights
from prostate_alm.parcel import write_json
from prostate_alm.training.bundles import find_bundle


def execute(spec: RunSpec, data: Path, work: Path) -> RunRecord:
    """Run `spec` and return its record.

    Args:
        spec: what to run.
        data: folder of the image archives, or a cohort's folder or datalist.
        work: folder of the runs' files, each run's in one named by its key, where it resumes after its last epoch. They
            stay until `discard`, for the record is nowhere yet; prepared patients stay for other runs.

    Raises:
        DatasetError: the archive or the subset can't be used.
        CohortError: the cohort can't be used, or its datalist is not the one of `spec`.
        ArgumentError: the training diverged.
    """
    folder = work / spec.key
    folder.mkdir(parents=True, exist_ok=True)
    trained_by = _note_commit(folder)  # before the training, while it is that of the code just loaded
    started = time.perf_counter()
    logging.disable(logging.WARNING)  # an epoch's lines belong into its record, not on the screen
    try:
        workflow = _workflow(spec, data, folder)
        check_is_asked_for(workflow.parser, spec)
        workflow.run()
        record = _record(spec, workflow.parser, folder, trained_by, seconds=time.perf_counter() - started)
        workflow.finalize()
    except Exception as error:
        raise _first_of_ours(error) from None
    finally:
        logging.disable(logging.NOTSET)
    return record


def attempt(spec: RunSpec, data: Path, work: Path) -> RunRecord | Failure:
    """`execute` for another process: its failure is a value, for an exception loses its causes on the way."""
    try:
        return execute(spec, data, work)
    except Exception as error:
        return Failure(spec=spec, message=f"{type(error).__name__}: {error}")


def check_data(spec: RunSpec, data: Path) -> None:
    """Draw the samples of `spec` and do nothing with them, so that what can't be drawn is said before any training.

    Raises:
        DatasetError: the archive or the subset can't be used.
        CohortError: the cohort or its folds can't be used.
        ArgumentError: the recipe refuses an argument.
    """
    parser = ConfigParser()
    parser.read_config(str(find_bundle(spec.bundle) / "configs" / "train.yaml"))
    parser.update({**spec.settings, **locations(spec.bundle, data, Path())})
    try:
        parser.get_parsed_content("data")
    except RuntimeError as error:
        raise _first_of_ours(error) from None


def _first_of_ours(error: BaseException) -> BaseException:
    """The exception of this package in a chain, else the last of the chain: MONAI wraps what a target raises."""
    while not isinstance(error, ProstateALMError):
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None:
            break
        error = cause
    return error


def _workflow(spec: RunSpec, data: Path, folder: Path) -> ConfigWorkflow:
    bundle = find_bundle(spec.bundle)
    settings: dict[str, Any] = {**spec.settings, **locations(spec.bundle, data, folder.parent)}
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "train.yaml"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(bundle),
        output_dir=str(folder),
        **settings,
    )
    workflow.initialize()
    return workflow


def _record(spec: RunSpec, parser: ConfigParser, folder: Path, trained_by: str, *, seconds: float) -> RunRecord:
    content = parser.get_parsed_content
    data, network = content("data"), content("network_def")
    best = content("best_model")
    network.load_state_dict(load_weights(folder / "model.pt"))
    scored = {name: score(parser, network, name) for name in ("validation", "test")}
    return RunRecord(
        spec=spec,
        commit=trained_by,
        versions={name: version(name) for name in ("torch", "monai", "numpy", "prostate-alm")}
        | {"python": platform.python_version()},
        machine=machine(),
        seed=int(content("run_seed")),
        seconds=seconds,
        counts=[int(count) for count in data.counts],
        best_epoch=int(best.epoch),
        validation_metric=float(best.best),
        epochs=[json.loads(line) for line in (folder / "epochs.jsonl").read_text(encoding="utf-8").splitlines()],
        validation=scored["validation"],
        test=scored["test"],
        metrics=figures(scored["test"], critical_classes(parser)),
    )


def _note_commit(folder: Path) -> str:
    """Commit of this start; of a run that goes on under another, each in the order of its starts."""
    path = folder / "commits.json"
    goes_on = path.is_file() and (folder / "run_state.pt").is_file()
    commits = json.loads(path.read_text(encoding="utf-8")) if goes_on else []
    if commit() not in commits:
        commits.append(commit())
        write_json(path, commits)
    return ", then ".join(commits)


@cache
def commit() -> str:
    """Commit of the code when this process asked first, as `_commit_of` names it."""
    return _commit_of(Path(__file__).parents[2])


def _commit_of(checkout: Path) -> str:
    """Commit that is checked out, with "+changes" where the package or the bundles differ, new files included.

    It is "unknown" outside a checkout of this project: a package that is installed inside another project's checkout
    must not be named by that project's commits.
    """
    top = _git(checkout, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != checkout.resolve() or not _is_this_project(checkout):
        return "unknown"
    head = _git(checkout, "rev-parse", "HEAD")
    changes = _git(checkout, "status", "--porcelain", "--untracked-files=all", "--", "prostate_alm", "bundles")
    if head is None or changes is None:
        return "unknown"
    return head + ("+changes" if changes else "")


def _is_this_project(folder: Path) -> bool:
    project = folder / "pyproject.toml"
    if not project.is_file():
        return False
    return tomllib.loads(project.read_text(encoding="utf-8")).get("project", {}).get("name") == "prostate-alm"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None where it is not installed or refuses."""
    git = shutil.which("git")
    if git is None:
        return None
    # no optional locks: runs that start together, and whoever commits meanwhile, must not wait for each other
    command = [git, "--no-optional-locks", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


@cache
def machine() -> str:
    """Processor, cores and threads of this process."""
    names = Path("/proc/cpuinfo")
    lines = names.read_text(encoding="utf-8").splitlines() if names.is_file() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads a run"
