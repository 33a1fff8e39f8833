"""A disk that fills up while a member trains costs the epoch at work and nothing else."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from monai.bundle.workflows import ConfigWorkflow

from prostate_alm.networks.weights import load_weights, save_atomically

MakeWorkflow = Callable[..., ConfigWorkflow]


@contextmanager
def no_room() -> Iterator[None]:
    """No file can grow beyond a kilobyte."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_was_saved_before_stays(tmp_path: Path) -> None:
    path = tmp_path / "run_state.pt"
    save_atomically({"epoch": 1, "weights": torch.ones(1000)}, path)
    with no_room(), pytest.raises((OSError, RuntimeError)):
        save_atomically({"epoch": 2, "weights": torch.zeros(1000)}, path)
    assert load_weights(path)["epoch"] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["run_state.pt"]


def test_a_member_goes_on_when_there_is_room_again(
    member_workflow: MakeWorkflow, tmp_path: Path, runs: SimpleNamespace
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for folder in (whole, stopped):
        runs_out_of_room(member_workflow(folder, max_epochs=2), at_epoch=2 if folder == stopped else None)
    assert load_weights(stopped / "run_state.pt")["epoch"] == 1
    assert not list(stopped.glob(".*"))
    runs_out_of_room(member_workflow(stopped, max_epochs=2), at_epoch=None)
    states = [load_weights(folder / "run_state.pt")["objects"] for folder in (whole, stopped)]
    assert runs.differing(*states) == []


def runs_out_of_room(workflow: ConfigWorkflow, *, at_epoch: int | None) -> None:
    """Train; from the end of an epoch's batches on, nothing can be written."""

    def fill(engine: Engine) -> None:
        if engine.state.epoch == at_epoch:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    trainer = workflow.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.ITERATION_COMPLETED, fill)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        if at_epoch is None:
            workflow.run()
        else:
            with pytest.raises(RuntimeError):  # MONAI wraps whatever happens in a run
                workflow.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    workflow.finalize()
