"""An ensemble's thresholds set anew on a site's own patients: the same networks in a new parcel that names its parent.

The gates are only ever tightened. A limit that is set on whoever comes lets all but 0.5 % of them through by
construction; what the networks know does not grow by that, so a site whose patients lie beyond the parent's limits
keeps failing safe for them, and is told how many they are.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prostate_alm.errors import EnsembleError, TrainingError
from prostate_alm.evaluation.known_studies import KnownStudies
from prostate_alm.evaluation.operating_point import OperatingPoints
from prostate_alm.evaluation.outliers import upper_limit
from prostate_alm.evaluation.reference import QUANTILES, GateQuantiles, Limit, Outlier, Reference, quantiles_of
from prostate_alm.evaluation.validation_scores import ValidationScores
from prostate_alm.parcel import (
    KNOWN_STUDIES,
    MANIFEST,
    OPERATING_POINTS,
    REFERENCE,
    SCHEMA_VERSION,
    VALIDATION,
    Manifest,
    files_of,
    sealed_bytes,
    write_json,
)
from prostate_alm.study import QUALITY_GATES
from prostate_alm.training.model_card import point_rows
from prostate_alm.training.reference import FEWEST_PATIENTS

CARD = "docs/README.md"
MARK = "+recalibrated."


@dataclass(frozen=True, eq=False)
class SitePatients:
    """A site's patients who passed every quality gate, in figures.

    Attributes:
        logits: ``[N]``, mean of the members.
        spread: ``[N]``, standard deviation of the members' logits.
        distance: ``[N]``, from the patients that the ensemble was trained on.
        quality: ``[N, G]``, figures of the quality gates in the order of `QUALITY_GATES`.
    """

    logits: NDArray[np.float64]
    spread: NDArray[np.float64]
    distance: NDArray[np.float64]
    quality: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Recalibration:
    """What is new in a recalibrated ensemble.

    Attributes:
        points: operating points.
        reference: see `tightened_reference`.
        validation: the scores that the points were set on.
        known: the studies it was trained and recalibrated with.
        datalist_sha256: of the site's datalist.
    """

    points: OperatingPoints
    reference: Reference
    validation: ValidationScores
    known: KnownStudies
    datalist_sha256: str


def tightened_reference(parent: Reference, site: SitePatients) -> Reference:
    """The parent's reference with a site's quantiles, and with the lower of the parent's and the site's limits.

    Golden logits and the centre that distances are counted from are the networks' own and stay.

    Args:
        parent: of the ensemble.
        site: patients who passed every quality gate.

    Raises:
        TrainingError: they are fewer than three.
    """
    patients = site.logits.size
    if patients < FEWEST_PATIENTS:
        raise TrainingError(
            f"{patients} of the site's studies pass every quality gate, at least {FEWEST_PATIENTS} are needed to say "
            "whom the answers hold for; see the import's report."
        )
    outlier = Outlier(distance=parent.outlier.distance, limit=_tightened(parent.outlier.limit, site.distance))
    return Reference(
        evidence="calibration",
        patients=patients,
        golden=parent.golden,
        spread=_tightened(parent.spread, site.spread),
        outlier=outlier,
        logit_quantiles=np.quantile(site.logits, QUANTILES).tolist(),
        quality=[
            GateQuantiles(reason=reason, quantiles=quantiles_of(figures))
            for reason, figures in zip(QUALITY_GATES, site.quality.T, strict=True)
        ],
    )


def _tightened(parent: Limit, figures: NDArray[np.float64]) -> Limit:
    """The lower limit, with the share of the site's patients that lies beyond it."""
    limit = min(parent.limit, upper_limit(figures[np.isfinite(figures)]).limit)
    beyond = (int((~(figures <= limit)).sum()) + 1) / (figures.size + 1)  # what is not finite lies beyond
    return Limit(limit=limit, patients=figures.size, expected_beyond=beyond)


def write_recalibrated(folder: Path, parent: Path, manifest: Manifest, parent_sha256: str, new: Recalibration) -> None:
    """Write the whole folder beside its place, its manifest last, then rename it; the parent is only read.

    Args:
        folder: the new ensemble.
        parent: its parent's folder.
        manifest: the parent's.
        parent_sha256: of the parent's manifest.
        new: what differs.

    Raises:
        EnsembleError: `folder` exists, or a file of the parent changed.
    """
    refuse_existing(folder)
    building = folder.with_name(f".{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    for name in manifest.files:
        (building / name).parent.mkdir(parents=True, exist_ok=True)
        (building / name).write_bytes(sealed_bytes(parent, name, manifest))
    version = next_version(manifest.version)
    write_json(building / OPERATING_POINTS, new.points)
    write_json(building / REFERENCE, new.reference)
    write_json(building / VALIDATION, new.validation)
    write_json(building / KNOWN_STUDIES, new.known)
    card = sealed_bytes(parent, CARD, manifest).decode("utf-8")
    (building / CARD).write_text(_card(card, version, parent_sha256, new), encoding="utf-8")
    sealed = manifest.model_copy(
        update={
            "schema_version": SCHEMA_VERSION,
            "version": version,
            "parent_sha256": parent_sha256,
            "recalibrated_on_sha256": new.datalist_sha256,
            "files": files_of(building),
        }
    )
    write_json(building / MANIFEST, sealed)
    building.rename(folder)


def refuse_existing(folder: Path) -> None:
    """Refuse a folder that is there.

    Raises:
        EnsembleError: it is.
    """
    if folder.exists():
        raise EnsembleError(f"`{folder.name}` exists; an ensemble is never edited. Choose another folder.")


def next_version(version: str) -> str:
    """The version of a recalibrated ensemble.

    >>> next_version("0.1.0"), next_version("0.1.0+recalibrated.1")
    ('0.1.0+recalibrated.1', '0.1.0+recalibrated.2')
    """
    base, _, number = version.partition(MARK)
    return f"{base}{MARK}{int(number or 0) + 1}"


RECALIBRATED = """# Recalibration: version {version}

**Research use only, not for clinical use.** The networks are those of the ensemble with the manifest SHA-256
`{parent}`, whose model card follows; its operating points and limits are replaced by these. They were set on {patients}
labelled patients of the site ({positives} who need DCE) whom neither training nor model selection had touched, datalist
SHA-256 `{datalist}`.

| operating point | threshold | missed of n | miss rate: expected | upper 95 % bound | specificity | status |
|---|---|---|---|---|---|---|
{rows}

{assumptions}

Beyond a spread of {spread:.3f} or a distance of {distance:.2f} the answer is "DCE recommended", whatever the score; by
{validated} patients of the site who passed every quality gate, {spread_beyond:.1%} and {distance_beyond:.1%} of new
ones are expected there. Both limits are the lower of the parent's and the site's.

---

"""


def _card(parent_card: str, version: str, parent_sha256: str, new: Recalibration) -> str:
    """What is new, and then the parent's card."""
    spread, outlier = new.reference.spread, new.reference.outlier.limit
    told = "\n\n".join(dict.fromkeys(point.assumptions for point in new.points.points))
    head = RECALIBRATED.format(
        version=version, parent=parent_sha256, patients=len(new.validation.scores),
        positives=int(new.validation.labels.sum()), datalist=new.datalist_sha256,
        rows=point_rows(new.points), assumptions=told,
        spread=spread.limit, distance=outlier.limit, validated=new.reference.patients,
        spread_beyond=spread.expected_beyond, distance_beyond=outlier.expected_beyond,
    )  # fmt: skip
    return head + parent_card
