"""How the page writes recommendations, figures and times."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from prostate_alm.evaluation.operating_point import OperatingPoint
from prostate_alm.report.triage import Basis, Recommendation, TriageAnswer

RECOMMENDATIONS = {
    Recommendation.DCE_RECOMMENDED: "DCE recommended",
    Recommendation.DCE_NOT_NEEDED: "DCE not needed",
}


def recommendation(answer: TriageAnswer | None) -> str:
    """The answer in three words; without one, DCE is recommended.

    >>> recommendation(None)
    'DCE recommended'
    """
    return RECOMMENDATIONS[Recommendation.DCE_RECOMMENDED if answer is None else answer.recommendation]


def basis(answer: TriageAnswer) -> str:
    """Why, in a sentence."""
    if answer.basis is Basis.FAILSAFE:
        return "This answer is fail-safe: it says nothing of the patient. Acquire DCE as in your protocol."
    if answer.recommendation is Recommendation.DCE_NOT_NEEDED:
        return "The score is below the threshold, and every check of the study passed."
    return "The score reaches the threshold: DCE may add to this examination."


def evidence(point: OperatingPoint) -> str:
    """What a threshold is worth, in a sentence: misses seen, and the bound on the rate of misses to come.

    >>> from prostate_alm.evaluation.operating_point import choose_operating_point
    >>> evidence(choose_operating_point([0.0, *range(1, 40)], [0] + [1] * 39))
    '0 of 39 missed in validation; the true miss rate may be up to 7.4 %.'
    """
    missed = round((1 - point.sensitivity) * point.positives)
    bound = percent(math.ceil(1000 * point.miss_rate_upper_95 - 1e-6) / 1000)  # a risk is never rounded down
    return f"{missed} of {point.positives} missed in validation; the true miss rate may be up to {bound}."


def percent(share: float) -> str:
    """A share in per cent.

    >>> percent(0.0739), percent(1.0)
    ('7.4 %', '100 %')
    """
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def figure(value: float | None) -> str:
    """A measured figure in three digits; null says that it was not finite.

    >>> figure(0.4321), figure(1234.6), figure(None)
    ('0.432', '1235', 'not finite')
    """
    if value is None:
        return "not finite"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def logit(value: float) -> str:
    """A logit in two decimals, with a real minus sign.

    >>> logit(-2.414), logit(0.3)
    ('−2.41', '+0.30')
    """
    return f"{value:+.2f}".replace("-", "−")


def b_values(values: Sequence[float]) -> str:
    """As people write b-values.

    >>> b_values((50.0, 400.0, 800.0))
    'b 50/400/800 s/mm²'
    """
    return f"b {'/'.join(f'{value:g}' for value in values)} s/mm²" if values else ""


def moment(time: datetime) -> str:
    """A time for a `time` element, which the script turns into the reader's own zone.

    >>> moment(datetime(2026, 11, 28, 16, 5, 9, tzinfo=UTC))
    '2026-11-28T16:05:09Z'
    """
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def clock(time: datetime) -> str:
    """The same for a reader without script, with its day: yesterday's answer must not look like today's.

    >>> clock(datetime(2026, 11, 28, 16, 5, 9, tzinfo=UTC))
    '2026-11-28 16:05 UTC'
    """
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M UTC}"


def name(dicom_name: str) -> str:
    """A patient's name as people read it: DICOM separates its parts by carets, other scripts by equals signs.

    >>> name("Doe^John^^Dr"), name("")
    ('Doe, John', '')
    """
    family, _, given = dicom_name.partition("=")[0].partition("^")
    return ", ".join(part for part in (family.strip(), given.partition("^")[0].strip()) if part)
