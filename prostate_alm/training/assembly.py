"""From finished members to the ensemble folder: out-of-fold scores, operating points, model card, seals."""

from collections.abc import Sequence
from pathlib import Path

from prostate_alm.errors import TrainingError
from prostate_alm.evaluation.operating_point import OperatingPoints, choose_operating_point
from prostate_alm.evaluation.roc import auc
from prostate_alm.parcel import MANIFEST, sha256_of
from prostate_alm.training.ensemble import EnsembleRun
from prostate_alm.training.ensemble_writer import EnsembleContent, write_ensemble
from prostate_alm.training.model_card import model_card
from prostate_alm.training.scoring import Scores, TrainedMember, on_calibration_set, out_of_fold, write_scores

FALSE_NEGATIVES = (0, 1, 2)  # fixed before any score is seen


def assemble(run: EnsembleRun, *, calibration: Path | None = None) -> Path:
    """Score, set the operating points, write `run.out / "ensemble"` and return it; an existing one is kept.

    Args:
        run: all of its members are finished.
        calibration: datalist of patients that neither training nor model selection touched. With it the operating
            points are set on the whole ensemble's scores of these and marked `guaranteed`; without it on out-of-fold
            scores, marked `approximate`.

    Raises:
        TrainingError: there are too few positives for an operating point at 0 false negatives.
        CohortError: the calibration set is not untouched.
    """
    folder = run.out / "ensemble"
    if (folder / MANIFEST).is_file():
        return folder
    members = [TrainedMember(run, member) for member in range(run.members)]
    scores = out_of_fold(run, members)
    write_scores(scores, run.out / "out_of_fold.json")
    points = _operating_points(scores, calibrated=False)
    if calibration is not None:
        calibrated = on_calibration_set(run, members, calibration)
        write_scores(calibrated, run.out / "calibration.json")
        points = _operating_points(calibrated, calibrated=True)
    write_ensemble(folder, _content(run, members, scores, points))
    return folder


def _operating_points(scores: Scores, *, calibrated: bool) -> OperatingPoints:
    """At 0, 1 and 2 false negatives, as far as there are more positives than that."""
    positives = int(scores.labels.sum())
    if positives <= FALSE_NEGATIVES[0]:
        raise TrainingError("an operating point needs at least one positive patient; the scored set has none.")
    evidence = "calibration" if calibrated else "out-of-fold"
    return OperatingPoints(
        points=[
            choose_operating_point(scores.logits, scores.labels, false_negatives=k, name=f"{k}-fn", evidence=evidence)
            for k in FALSE_NEGATIVES
            if positives > k
        ]
    )


def _content(
    run: EnsembleRun, members: Sequence[TrainedMember], scores: Scores, points: OperatingPoints
) -> EnsembleContent:
    first = members[0]
    datalist_sha256 = sha256_of(run.datalist)
    settings = {name: value for name, value in first.settings.items() if isinstance(value, str | int | float | bool)}
    training = {"bundle": run.bundle.name, "members": run.members, **settings}
    return EnsembleContent(
        name=run.bundle.name,
        bundle=run.bundle,
        network=first.network_arguments,
        weights=[member.weights for member in members],
        profile=first.profile,
        box_mm=first.box_mm,
        points=points,
        card=model_card(
            run,
            scores,
            points=points,
            out_of_fold_auc=auc(scores.logits, scores.labels),
            datalist_sha256=datalist_sha256,
        ),
        seeds=[member.seed for member in members],
        datalist_sha256=datalist_sha256,
        training=training,
    )
