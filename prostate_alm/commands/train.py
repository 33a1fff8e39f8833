"""`prostate-alm train`: members in parallel processes, then the ensemble."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from prostate_alm.training.assembly import assemble
from prostate_alm.training.ensemble import EnsembleRun, MemberProgress, train_members


def default_folds(members: int) -> int:
    """Five folds where they divide the members (ten members are the paper's ten 80/20 splits), else one repeat."""
    return 5 if members % 5 == 0 else members


def train(run: EnsembleRun, *, workers: int | None = None, calibration: Path | None = None) -> Path:
    """Train what is not trained yet and write `run.out / "ensemble"`; returns that folder."""
    console = Console(stderr=True)
    run.claim()
    epochs = max_epochs(run)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bars = {member: progress.add_task(f"member {member}", total=epochs) for member in range(run.members)}
        train_members(run, workers=workers or os.cpu_count() or 1, on_progress=lambda step: _draw(progress, bars, step))
    console.print("scoring out of fold and setting the operating points")
    folder = assemble(run, calibration=calibration)
    console.print(f"ensemble written to {folder}")
    return folder


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
