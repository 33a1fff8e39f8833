"""Whether a score lies inside the range that an ensemble was validated in."""

from collections.abc import Sequence

import torch

from prostate_alm.errors import EnsembleError, Reason
from prostate_alm.evaluation.reference import Limit, Reference, spread_of
from prostate_alm.preprocessing.image_features import IMAGE_FEATURES, image_features
from prostate_alm.study import QualityFinding


def read_reference(content: bytes, *, members: int) -> Reference:
    """Read `reference.json` of an ensemble of `members`.

    Raises:
        EnsembleError: it is malformed, of another number of members, or of image features of another release.
    """
    reference = Reference.from_json(content)
    found = sorted({len(case.member_logits) for case in reference.golden})
    if found != [members]:
        raise EnsembleError(f"reference.json holds golden logits of {found} members, the manifest names {members}.")
    if tuple(reference.outlier.distance.features) != IMAGE_FEATURES:
        raise EnsembleError(
            "reference.json describes images by other features than this release computes; use the release that "
            "trained the ensemble, or train it again."
        )
    return reference


def believability(
    reference: Reference, member_logits: Sequence[float], image: torch.Tensor
) -> tuple[QualityFinding, QualityFinding]:
    """Hold the spread of the members and the distance of the image against what the validated patients had.

    Args:
        reference: of the ensemble.
        member_logits: one a member.
        image: ``[3, H, W, D]``, what the members saw.

    Returns:
        The findings `Reason.MEMBERS_DISAGREE` and `Reason.OUT_OF_DISTRIBUTION`; a figure that is not finite does not
        pass.
    """
    distance = reference.outlier.distance.of(image_features(image))
    return (
        _within(Reason.MEMBERS_DISAGREE, spread_of(member_logits), reference.spread),
        _within(Reason.OUT_OF_DISTRIBUTION, distance, reference.outlier.limit),
    )


def _within(reason: Reason, value: float, limit: Limit) -> QualityFinding:
    return QualityFinding(reason, value, limit.limit, passed=value <= limit.limit)
