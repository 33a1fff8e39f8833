"""From finished members to the ensemble folder: scores, operating points, reference, model card, seals."""

from collections.abc import Sequence
from pathlib import Path

from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.errors import TrainingError
from prostate_alm.evaluation.known_studies import KnownStudies, KnownStudy
from prostate_alm.evaluation.operating_point import Evidence, OperatingPoints, choose_by_rule
from prostate_alm.evaluation.operating_rules import DEFAULT_RULES, Rule
from prostate_alm.evaluation.reference import GoldenCase
from prostate_alm.evaluation.roc import auc
from prostate_alm.evaluation.validation_scores import ValidationScores
from prostate_alm.parcel import MANIFEST, OPERATING_POINTS
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


def assemble(run: EnsembleRun, *, calibration: Path | None = None, rules: Sequence[Rule] = DEFAULT_RULES) -> Path:
    """Score, set operating points and reference, write `run.out / "ensemble"` and return it; an existing one is kept.

    Args:
        run: all of its members are finished.
        calibration: datalist of patients that neither training nor model selection touched. With it the operating
            points are set on the whole ensemble's scores of these and marked `guaranteed`; without it on out-of-fold
            scores, marked `approximate`.
        rules: of the operating points, fixed before any score is seen.

    Raises:
        TrainingError: there are too few positives for an operating point, too few patients who pass every quality
            gate, an ensemble with other operating points is there, or the members saw one path alone.
        CohortError: the calibration set is not untouched.
    """
    folder = run.out / "ensemble"
    if (folder / MANIFEST).is_file():
        _refuse_other_points(folder, rules)
        return folder
    members = [TrainedMember(run, member) for member in range(run.members)]
    _refuse_hidden_path(str(members[0].settings.get("drop_path", "none")))
    trained = on_training_set(run, members)
    write_scores(trained.scores, run.out / "out_of_fold.json")
    untouched = None
    if calibration is not None:
        untouched = on_calibration_set(run, members, calibration)
        write_scores(untouched.scores, run.out / "calibration.json")
    write_ensemble(folder, _content(run, members, trained, untouched=untouched, rules=rules, calibration=calibration))
    return folder


def refuse_hidden_path(run: EnsembleRun) -> None:
    """Refuse to train an ensemble that sees one path alone, before hours of training.

    Raises:
        TrainingError: `drop_path` is set.
    """
    _refuse_hidden_path(str(run.settings.get("drop_path", "none")))


def _refuse_hidden_path(path: str) -> None:
    if path != "none":
        raise TrainingError(
            f"`drop_path` hides {path} from the network, and the service would show it both paths; use `prostate-alm "
            "sanity modality` for this check, or take `drop_path` out."
        )


def check_rules(run: EnsembleRun, *, calibration: Path | None, rules: Sequence[Rule]) -> None:
    """Refuse operating points for which positives are too few, before hours of training.

    Args:
        run: what will be trained.
        calibration: as `assemble`.
        rules: as `assemble`.

    Raises:
        ArgumentError: one needs more positives than there are; the message says how many.
        CohortError: a datalist can't be used.
    """
    if rules != DEFAULT_RULES:
        datalist = read_datalist(run.datalist if calibration is None else calibration)
        scored = [*datalist.training, *(datalist.test if calibration is not None else ())]
        for rule in rules:
            rule.misses(sum(entry.label for entry in scored))


def _refuse_other_points(folder: Path, rules: Sequence[Rule]) -> None:
    names = OperatingPoints.from_json((folder / OPERATING_POINTS).read_bytes()).names
    other = [rule.name for rule in rules if rule.name not in names]
    if rules != DEFAULT_RULES and other:
        raise TrainingError(
            f"`{folder}` is finished and has the operating points {', '.join(names)}, not {', '.join(other)}; an "
            "ensemble is never edited: use `prostate-alm recalibrate`, or move the folder away to have it written anew."
        )


def _validated(members: Sequence[TrainedMember], scored: MemberScores) -> Validated:
    return validated(members[0].dataset(scored.entries), scored.logits, scored.mean_unseen)


def _golden(members: Sequence[TrainedMember]) -> list[GoldenCase]:
    first = members[0]
    network = join_members(first.network_arguments, [member.weights for member in members])
    return golden_cases(network, golden_images(Preprocessing(first.profile, first.box_mm)))


def operating_points(scores: Scores, rules: Sequence[Rule], *, evidence: Evidence) -> OperatingPoints:
    """The points of the rules; of the usual ones those that there are positives enough for.

    Raises:
        TrainingError: there are too few positives.
    """
    positives = int(scores.labels.sum())
    kept = rules if rules != DEFAULT_RULES else [rule for rule in rules if positives >= rule.needed]
    lacking = [rule for rule in kept if positives < rule.needed]
    if lacking or not kept:
        wanted = lacking[0] if lacking else rules[0]
        raise TrainingError(
            f"the operating point `{wanted.name}` needs at least {wanted.needed} positives, the scored set has "
            f"{positives}; add patients who need DCE, or ask for less."
        )
    return OperatingPoints(
        points=[choose_by_rule(scores.logits, scores.labels, rule, evidence=evidence) for rule in kept]
    )


def _known(members: Sequence[TrainedMember], scored: MemberScores, datalist: Path) -> list[KnownStudy]:
    """The hashes of scored studies.

    Raises:
        TrainingError: the bundle's preprocessing leaves out the hash of the voxels.
    """
    dataset, cohort = members[0].dataset(scored.entries), read_datalist(datalist).name
    known: list[KnownStudy] = []
    for number, entry in enumerate(scored.entries):
        content = dataset[number].get("content")
        if content is None:
            raise TrainingError(
                "the bundle's `train#preprocessing` must keep `content`, the hash of the voxels that `LoadStudy` "
                "adds: name it among the keys of `SelectItemsd`."
            )
        known.append(KnownStudy.of(content, cohort=cohort, patient=entry["patient"]))
    return sorted(known, key=lambda study: study.content)


def _content(
    run: EnsembleRun,
    members: Sequence[TrainedMember],
    trained: MemberScores,
    *,
    untouched: MemberScores | None,
    rules: Sequence[Rule],
    calibration: Path | None,
) -> EnsembleContent:
    evidence: Evidence = "out-of-fold" if untouched is None else "calibration"
    scores, judged = trained.scores, (untouched or trained).scores
    points = operating_points(judged, rules, evidence=evidence)
    reference = make_reference(
        _validated(members, trained),
        None if untouched is None else _validated(members, untouched),
        golden=_golden(members),
    )
    known = KnownStudies(
        training=_known(members, trained, run.datalist),
        calibration=[] if untouched is None or calibration is None else _known(members, untouched, calibration),
    )
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
        validation=ValidationScores.of(judged.logits, judged.labels, evidence=evidence),
        known=known,
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
