"""The model card that an ensemble carries."""

from prostate_alm.evaluation.operating_point import OperatingPoints
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

## Limits

The score is defined only for studies like those it was trained on: scanners, b-values and patients. Indications for
contrast that are not in the image (prior treatment, recurrence) are unknown to it. Validate it locally before use.
"""


def model_card(
    run: EnsembleRun, scores: Scores, *, points: OperatingPoints, out_of_fold_auc: float, datalist_sha256: str
) -> str:
    """Write the card from the run's own figures."""
    rows = "\n".join(
        f"| {point.name} | {point.threshold:.4f} | {point.false_negatives} of {point.positives} | "
        f"{point.miss_rate_expected:.1%} | {point.miss_rate_upper_95:.1%} | {point.specificity:.1%} | {point.status} |"
        for point in points.points
    )
    constrained = run.settings.get("alm", True)
    return CARD.format(
        name=run.bundle.name,
        members=run.members,
        repeats=run.repeats,
        folds=run.folds,
        loss="binary cross-entropy under the ranking constraint"
        if constrained
        else "binary cross-entropy, no constraint",
        datalist=datalist_sha256,
        patients=len(scores.labels),
        positives=int(scores.labels.sum()),
        auc=out_of_fold_auc,
        rows=rows,
        assumptions=points.points[0].assumptions,
    )
