"""Writing down what an ensemble was validated on: `Reference`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from prostate_alm.errors import TrainingError
from prostate_alm.evaluation.outliers import fit_distance, left_out_distances, upper_limit
from prostate_alm.evaluation.reference import (
    QUANTILES,
    GateQuantiles,
    GoldenCase,
    Outlier,
    Reference,
    quantiles_of,
    spread_of,
)
from prostate_alm.networks.ensemble import EnsembleNet
from prostate_alm.preprocessing.image_features import IMAGE_FEATURES, image_features
from prostate_alm.study import QUALITY_GATES
from prostate_alm.training.data import CachedDataset

FEWEST_PATIENTS = 3


@dataclass(frozen=True, eq=False)
class Validated:
    """Scored patients who passed every quality gate.

    Attributes:
        patients: ``[N]`` whose studies they are.
        features: ``[N, P]`` of their images.
        quality: ``[N, G]`` figures of the gates.
        member_logits: ``[K, N]`` of all members.
        logits: ``[N]`` mean over the members that may score the patient.
    """

    patients: Sequence[str]
    features: NDArray[np.float64]
    quality: NDArray[np.float64]
    member_logits: NDArray[np.float64]
    logits: NDArray[np.float64]


def validated(dataset: CachedDataset, member_logits: NDArray[np.float64], logits: NDArray[np.float64]) -> Validated:
    """Read the images and gates of scored patients, and leave out who did not pass all gates.

    Args:
        dataset: N prepared entries.
        member_logits: ``[K, N]`` in their order.
        logits: ``[N]`` mean over the members that may score the patient.

    Raises:
        TrainingError: fewer than three patients are left.
    """
    kept: list[int] = []
    features: list[NDArray[np.float64]] = []
    quality: list[NDArray[np.float64]] = []
    for number in range(len(dataset)):
        item = dataset[number]
        if item["passed"]:
            kept.append(number)
            features.append(image_features(item["image"]))
            quality.append(item["quality"].numpy())
    if len(kept) < FEWEST_PATIENTS:
        raise TrainingError(
            f"{len(kept)} of {len(dataset)} studies pass every quality gate, at least {FEWEST_PATIENTS} are needed to "
            "say what the ensemble was validated on; see the import's report."
        )
    return Validated(
        patients=[str(dataset.data[number]["patient"]) for number in kept],
        features=np.array(features),
        quality=np.array(quality),
        member_logits=member_logits[:, kept],
        logits=logits[kept],
    )


def make_reference(trained: Validated, calibration: Validated | None, *, golden: Sequence[GoldenCase]) -> Reference:
    """Set the limits and quantiles.

    The distance is fitted to the training patients. Its limit is set on the calibration patients, who are exchangeable
    with new ones, or without them on the training patients, each left out in turn. The spread of the members has no
    such remedy: without calibration it is that of patients of whom most members have seen each.

    Args:
        trained: the training patients.
        calibration: patients that no member has seen; None where there are none.
        golden: logits of the phantoms.
    """
    distance = fit_distance(trained.features, IMAGE_FEATURES)
    if calibration is None:
        distances = left_out_distances(trained.features, IMAGE_FEATURES, patients=trained.patients)
    else:
        distances = [distance.of(row) for row in calibration.features]
    scored = trained if calibration is None else calibration
    return Reference(
        evidence="out-of-fold" if calibration is None else "calibration",
        patients=len(scored.patients),
        golden=list(golden),
        spread=upper_limit([spread_of(logits) for logits in scored.member_logits.T]),
        outlier=Outlier(distance=distance, limit=upper_limit(distances)),
        logit_quantiles=np.quantile(scored.logits, QUANTILES).tolist(),
        quality=[
            GateQuantiles(reason=reason, quantiles=quantiles_of(figures))
            for reason, figures in zip(QUALITY_GATES, scored.quality.T, strict=True)
        ],
    )


def golden_cases(network: EnsembleNet, images: Mapping[str, torch.Tensor]) -> list[GoldenCase]:
    """What the members say of the phantoms: float32 on the CPU.

    Args:
        network: the ensemble, on the CPU.
        images: the phantoms, as its preprocessing makes them.
    """
    network.eval()
    cases: list[GoldenCase] = []
    with torch.inference_mode():
        for name, image in images.items():
            logits = network.member_logits(image[None])[0]
            cases.append(GoldenCase(case=name, member_logits=logits.tolist()))
    return cases
