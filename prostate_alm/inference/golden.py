"""Whether this machine computes what the machine of the training did: golden logits."""

from collections.abc import Mapping, Sequence

import torch

from prostate_alm.errors import EnsembleError
from prostate_alm.evaluation.reference import GoldenCase
from prostate_alm.inference.members import Members

TOLERANCE = 1e-4
"""Largest difference in logits. Float32 in another order of summation moves them by 1e-5, bfloat16 by 1e-2 and more."""


def golden_difference(members: Members, images: Mapping[str, torch.Tensor], cases: Sequence[GoldenCase]) -> float:
    """The largest difference of any member's logit of any phantom from the stored one; infinite when one is NaN.

    Args:
        members: what is examined.
        images: the phantoms.
        cases: what training stored.

    Raises:
        EnsembleError: a stored phantom is none of this release.
    """
    unknown = sorted({case.case for case in cases} - images.keys())
    if unknown:
        raise EnsembleError(
            f"reference.json holds logits of the phantoms {unknown}, which this release can't build; use the release "
            "that trained the ensemble, or train it again."
        )
    expected = torch.tensor([case.member_logits for case in cases], dtype=torch.float64)
    return largest_difference(torch.stack([members.logits(images[case.case]) for case in cases]), expected)


def largest_difference(logits: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference of two tables of logits; infinite when one holds a value that is not finite."""
    differences = (logits.double() - expected.double()).abs()
    return float(differences.nan_to_num(nan=torch.inf).max())
