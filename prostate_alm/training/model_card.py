"""The model card that an ensemble carries."""

from collections.abc import Mapping

from prostate_alm.evaluation.operating_point import OperatingPoints
from prostate_alm.evaluation.reference import Reference
from prostate_alm.training.ensemble import EnsembleRun
from prostate_alm.training.scoring import Scores

CARD = """# Model card: {name}

**Research use only, not for clinical use.**

## What it does

Reads the axial T2-weighted and the diffusion-weighted images of one prostate MRI study and gives one logit: higher
means that the contrast (DCE) sequence is needed. A threshold on the mean logit of {members} networks (an operating
point) turns it into a recommendation; whatever fails is answered "DCE recommended".

## How it was trained

{members} two-path 3D CNNs, one for each fold of {repeats} x {folds} stratified, patient-grouped folds, {loss}
(Sangalli et al., NeurIPS 2021). Datalist SHA-256 `{datalist}`. Every argument, seed and version is in `manifest.json`.

## Evidence

Scored out of fold, {patients} patients ({positives} who need DCE): AUC {auc:.3f}. The fold that scored a patient also
chose the checkpoint, so this is optimistic; evaluate on patients that no member has seen.

| operating point | threshold | missed of n | miss rate: expected | upper 95 % bound | specificity | status |
|---|---|---|---|---|---|---|
{rows}

{assumptions}

## Validated range

{range}

## Limits

The score is defined only for studies like those it was trained on: scanners, b-values and patients. Indications for
contrast that are not in the image (prior treatment, recurrence) are unknown to it. Validate it locally before use.
"""


LOSSES = {
    "bce": "binary cross-entropy",
    "s-ml": "symmetric margin loss",
    "a-ml": "asymmetric margin loss",
    "s-fl": "symmetric focal loss",
    "a-fl": "asymmetric focal loss",
    "w-bce": "cost-weighted binary cross-entropy",
    "cb-bce": "class-balanced binary cross-entropy",
    "ldam": "label-distribution-aware margin loss",
    "mbauc": "mini-batch AUC loss",
}
RANGE = """Set on {patients} {whose} who passed every quality gate; their logits ran from {low:.2f} to {high:.2f}.
Beyond these limits the answer is "DCE recommended", whatever the score:

| figure | limit | new patients of the same population beyond it, expected |
|---|---|---|
| standard deviation of the members' logits | {spread:.3f} | {beyond_spread:.1%} |
| distance of the image from theirs (Mahalanobis, {features} figures) | {distance:.2f} | {beyond_distance:.1%} |

The ranges of the quality gates over these patients are in `reference.json`.{caveat}"""

OPTIMISTIC = (
    " Most members had trained on each of these patients, so\ntheir spread may be smaller, or larger, than among new "
    "ones; a calibration set tells."
)


def model_card(
    run: EnsembleRun,
    scores: Scores,
    *,
    points: OperatingPoints,
    reference: Reference,
    out_of_fold_auc: float,
    settings: Mapping[str, object],
) -> str:
    """Write the card from the run's own figures.

    Args:
        run: what was trained.
        scores: out of fold.
        points: operating points.
        reference: what it was validated on.
        out_of_fold_auc: of `scores`.
        settings: what its members are a run of.
    """
    return CARD.format(
        name=run.bundle.name,
        members=run.members,
        repeats=run.repeats,
        folds=run.folds,
        loss=loss_in_words(settings, by_name=not any(key.startswith("base_loss") for key in run.settings)),
        datalist=settings["datalist"],
        patients=len(scores.labels),
        positives=int(scores.labels.sum()),
        auc=out_of_fold_auc,
        rows=point_rows(points),
        assumptions="\n\n".join(dict.fromkeys(point.assumptions for point in points.points)),
        range=_validated_range(reference),
    )


def point_rows(points: OperatingPoints) -> str:
    """The rows of a card's table of operating points."""
    return "\n".join(
        f"| {point.name} | {point.threshold:.4f} | {point.false_negatives} of {point.positives} | "
        f"{point.miss_rate_expected:.1%} | {point.miss_rate_upper_95:.1%} | {point.specificity:.1%} | {point.status} |"
        for point in points.points
    )


def loss_in_words(settings: Mapping[str, object], *, by_name: bool = True) -> str:
    """The base loss, its parameter where one was given, and the constraint.

    Args:
        settings: of a member, as its run's identity holds them.
        by_name: whether `loss_name` made the base loss; False where a user's own component did.
    """
    name = str(settings["loss_name"])
    words = LOSSES.get(name, f"the loss `{name}`") if by_name else f"the loss `{settings['base_loss']}`"
    if by_name and settings.get("loss_parameter") is not None:
        words += f" (`loss_parameter` {settings['loss_parameter']})"
    if not settings["alm"]:
        return f"{words}, no constraint"
    return f"{words} under the ranking constraint\n(margin {settings['delta']} in {settings['space']})"


def _validated_range(reference: Reference) -> str:
    """Who the score is believed for, and what that rests on."""
    whose = (
        "calibration patients whom no member had seen" if reference.evidence == "calibration" else "training patients"
    )
    spread, outlier = reference.spread, reference.outlier.limit
    low, high = reference.logit_quantiles[0], reference.logit_quantiles[-1]
    caveat = "" if reference.evidence == "calibration" else OPTIMISTIC
    return RANGE.format(
        patients=reference.patients, whose=whose, low=low, high=high, spread=spread.limit,
        beyond_spread=spread.expected_beyond, features=len(reference.outlier.distance.features),
        distance=outlier.limit, beyond_distance=outlier.expected_beyond, caveat=caveat,
    )  # fmt: skip
