"""`prostate-alm triage`: one study, one answer, JSON on stdout and nothing else."""

import contextlib
import logging
import secrets
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import typer

from prostate_alm.errors import ArgumentError, EnsembleError, Reason
from prostate_alm.inference.ensemble import Ensemble, load_ensemble
from prostate_alm.readers import read_study
from prostate_alm.report.triage import Evidence, TriageAnswer, decide
from prostate_alm.service.descriptions import describe_error
from prostate_alm.service.pipeline import TriagePipeline

logger = logging.getLogger(__name__)


def triage(
    study: Path,
    *,
    ensemble: Path,
    operating_point: str = "0-fn",
    expect_sha256: str | None = None,
    device: str = "auto",
) -> None:
    """Print the answer for one study. Whatever fails is an answer too: DCE recommended, with the reason.

    Args:
        study: folder or zip of one patient's DICOM, or of NIfTI files.
        ensemble: the ensemble folder.
        operating_point: name of one of its operating points.
        expect_sha256: the pinned SHA-256 of its manifest.
        device: auto, cpu or cuda.

    Raises:
        typer.BadParameter: the ensemble has no operating point of that name, or there is no such device.
    """
    with contextlib.redirect_stdout(sys.stderr):
        answer = _answer(
            study, partial(load_ensemble, ensemble, expect_sha256=expect_sha256, device=device), operating_point
        )
    typer.echo(answer.model_dump_json(indent=2))


def _answer(study: Path, load: Callable[[], Ensemble], operating_point: str) -> TriageAnswer:
    answer_id = secrets.token_hex(16)
    try:
        pipeline = TriagePipeline.at(load(), operating_point)
    except ArgumentError as error:
        raise typer.BadParameter(str(error), param_hint="triage") from None
    except Exception as error:  # a patient is waiting: nothing may end without an answer
        said = str(error) if isinstance(error, EnsembleError) else describe_error(error)
        logger.error("the ensemble can't be used: %s", said)
        failure = Evidence(failures=(Reason.ENSEMBLE_INVALID,))
        return decide(answer_id, failure, operating_point=None, model=None)
    return pipeline.answer(answer_id, partial(read_study, study))
