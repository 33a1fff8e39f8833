"""The score against the threshold on a scale, as coordinates for a drawing."""

from dataclasses import dataclass

from prostate_alm.report.triage import GUARD_BAND, TriageAnswer
from prostate_alm.service.page.wording import logit

WIDTH = 560.0
"""Units of the drawing; the axis runs over all of it but the margins."""
MARGIN = 24.0
LABEL = 96.0  # half the width of the score's label
LEAST_SPAN = 1.0  # logits shown at least on either side of the threshold


@dataclass(frozen=True)
class Scale:
    """Where things stand on the axis, from 0 to `WIDTH`; logits rise to the right.

    Attributes:
        threshold: of the operating point; it stands in the middle.
        score: the members' mean.
        members: each member.
        label: of the score, where it fits beside it.
        distance: from the score to the threshold, in words.
        summary: all of it as a sentence, for those who do not see the drawing.
    """

    threshold: float
    score: float
    members: tuple[float, ...]
    label: float
    distance: str
    summary: str


def score_scale(answer: TriageAnswer) -> Scale | None:
    """The drawing of an answer; None where it holds no score or no threshold."""
    if answer.logit is None or answer.operating_point is None:
        return None
    threshold = answer.operating_point.threshold
    members = tuple(value for value in answer.member_logits if value is not None)
    reach = max([LEAST_SPAN, *(abs(value - threshold) for value in (answer.logit, *members))])

    def place(value: float) -> float:
        return WIDTH / 2 + (value - threshold) / reach * (WIDTH / 2 - MARGIN)

    score = place(answer.logit)
    return Scale(
        threshold=place(threshold),
        score=score,
        members=tuple(place(value) for value in members),
        label=min(max(score, LABEL), WIDTH - LABEL),
        distance=distance(answer.logit, threshold),
        summary=f"Score {logit(answer.logit)}: {distance(answer.logit, threshold)}, which is at {logit(threshold)}.",
    )


def distance(score: float, threshold: float) -> str:
    """How far a score lies from the threshold.

    >>> distance(-2.41, -1.73), distance(0.5, 0.5), distance(0.4995, 0.5)
    ('0.68 below the threshold', '0.00 above the threshold', 'too near the threshold')
    """
    if threshold - GUARD_BAND <= score < threshold:
        return "too near the threshold"
    return f"{abs(score - threshold):.2f} {'below' if score < threshold else 'above'} the threshold"
