"""From finished members to the ensemble folder: scores, operating points, reference, model card, seals."""

from collections.abc import Sequence
from pathlib import Path

from prostate_alm.errors import TrainingError
from prostate_alm.evaluation.operating_point import OperatingPoints, choose_operating_point
from prostate_alm.evaluation.reference import GoldenCase, Reference
from prostate_alm.evaluation.roc import auc
from prostate_alm.parcel import MANIFEST
from prostate_alm.preprocessing import Preprocessing
from prostate_alm.preprocessing.phantoms import golden_images
from prostate_alm.training.ensemble import EnsembleRun
from prostate_alm.training.ensemble_writer import EnsembleContent, join_members, write_ensemble
from prostate_alm.training.model_card import model_card
from prostate_alm.training.reference import Validated, golden_cases, make_reference, validated
from prostate_alm.training.scoring import (
    MemberScores,
    Scores,
    TrainedMember,
    on_calibration_set,
    on_training_set,
    write_scores,
)

FALSE_NEGATIVES = (0, 1, 2)  # fixed before any score is seen


def assemble(run: EnsembleRun, *, calibration: Path | None = None) -> Path:
    """Score, set operating points and reference, write `run.out / "ensemble"` and return it; an existing one is kept.

    Args:
        run: all of its members are finished.
        calibration: datalist of patients that neither training nor model selection touched. With it the operating
            points are set on the whole ensemble's scores of these and marked `guaranteed`; without it on out-of-fold
            scores, marked `approximate`.

    Raises:
        TrainingError: there are too few positives for an operating point at 0 false negatives, or too few patients
            who pass every quality gate.
        CohortError: the calibration set is not untouched.
    """
    folder = run.out / "ensemble"
    if (folder / MANIFEST).is_file():
        return folder
    members = [TrainedMember(run, member) for member in range(run.members)]
    trained = on_training_set(run, members)
    write_scores(trained.scores, run.out / "out_of_fold.json")
    points, untouched = _operating_points(trained.scores, calibrated=False), None
    if calibration is not None:
        calibrated = on_calibration_set(run, members, calibration)
        write_scores(calibrated.scores, run.out / "calibration.json")
        points, untouched = _operating_points(calibrated.scores, calibrated=True), _validated(members, calibrated)
    reference = make_reference(_validated(members, trained), untouched, golden=_golden(members))
    write_ensemble(folder, _content(run, members, scores=trained.scores, points=points, reference=reference))
    return folder


def _validated(members: Sequence[TrainedMember], scored: MemberScores) -> Validated:
    return validated(members[0].dataset(scored.entries), scored.logits, scored.mean_unseen)


def _golden(members: Sequence[TrainedMember]) -> list[GoldenCase]:
    first = members[0]
    network = join_members(first.network_arguments, [member.weights for member in members])
    return golden_cases(network, golden_images(Preprocessing(first.profile, first.box_mm)))


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
    run: EnsembleRun,
    members: Sequence[TrainedMember],
    *,
    scores: Scores,
    points: OperatingPoints,
    reference: Reference,
) -> EnsembleContent:
    first = members[0]
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
        reference=reference,
        card=model_card(
            run,
            scores,
            points=points,
            reference=reference,
            out_of_fold_auc=auc(scores.logits, scores.labels),
            settings=first.settings,
        ),
        seeds=[member.seed for member in members],
        datalist_sha256=first.settings["datalist"],
        training=training,
    )
