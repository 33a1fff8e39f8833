"""`prostate-alm train`: members in parallel, then the ensemble."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from prostate_alm.evaluation.operating_rules import DEFAULT_RULES, Rule, parse_rules
from prostate_alm.training.assembly import assemble, check_rules, refuse_hidden_path
from prostate_alm.training.backends import make_backend
from prostate_alm.training.cohort_checks import check_cohort
from prostate_alm.training.ensemble import Backend, EnsembleRun, MemberProgress, locked, train_members
from prostate_alm.training.experiment import Experiment
from prostate_alm.training.hardest_page import write_hardest_patients


def train_experiment(experiment: Experiment) -> Path:
    """Train what an experiment describes; returns the ensemble's folder.

    Raises:
        ArgumentError: it has no `out`, or another of its values can't be used.
        BackendError: there is no Ray, or no cluster.
        TrainingError: as `train`.
    """
    run = experiment.run()
    backend = make_backend(
        experiment.backend, workers=experiment.workers, address=experiment.address, gpus=experiment.gpus
    )
    rules = parse_rules(experiment.operating_points)
    return train(run, backend=backend, calibration=experiment.calibration, rules=rules)


def train(
    run: EnsembleRun,
    *,
    workers: int | None = None,
    backend: Backend | None = None,
    calibration: Path | None = None,
    rules: Sequence[Rule] = DEFAULT_RULES,
) -> Path:
    """Train what is not trained yet and write `run.out / "ensemble"`; returns that folder.

    Args:
        run: what to train.
        workers: processes of this machine; None is one a core.
        backend: where members are trained, in place of this machine's processes; it is closed.
        calibration: as `assemble`.
        rules: as `assemble`.

    Raises:
        CohortError: as `check_cohort`.
        TrainingError: a member failed, or another command is at work in the folder; what is finished is kept.
    """
    console = Console(stderr=True)
    place = backend or make_backend("local", workers=workers)
    try:
        with locked(run.out):
            refuse_hidden_path(run)
            check_cohort(run)
            run.claim()
            check_rules(run, calibration=calibration, rules=rules)
            _train_members(run, place, console)
            console.print("scoring out of fold and setting the operating points")
            folder = assemble(run, calibration=calibration, rules=rules)
    finally:
        place.close()
    console.print(f"ensemble written to {folder}")
    if page := write_hardest_patients(run):
        console.print(f"likely label errors and hard cases: {page}")
    return folder


def _train_members(run: EnsembleRun, backend: Backend, console: Console) -> None:
    """Train with a bar a member and the time left."""
    epochs = max_epochs(run)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bars = {member: progress.add_task(f"member {member}", total=epochs) for member in range(run.members)}
        train_members(run, backend, on_progress=lambda step: _draw(progress, bars, step))


def max_epochs(run: EnsembleRun) -> int:
    """Epochs of a member: the run's own setting, or the bundle's."""
    settings: Mapping[str, Any] = yaml.safe_load((run.bundle / "configs" / "train.yaml").read_text(encoding="utf-8"))
    return int(run.settings.get("max_epochs", settings["max_epochs"]))


def _draw(progress: Progress, bars: Mapping[int, TaskID], step: MemberProgress) -> None:
    auc = "" if step.epoch == 0 else f", validation AUC {step.auc:.3f}"
    bar, description = bars[step.member], f"member {step.member}{auc}"
    if step.done:  # at the last epoch, or early
        progress.update(bar, completed=step.epoch, total=step.epoch, description=description)
    else:
        progress.update(bar, completed=step.epoch, description=description)
