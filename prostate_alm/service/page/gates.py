"""The quality gates in words, each kind once, with its figures and limits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prostate_alm.errors import Reason
from prostate_alm.report.triage import QualityAnswer
from prostate_alm.service.page.reasons import EXPLANATIONS
from prostate_alm.service.page.wording import figure, percent


@dataclass(frozen=True)
class GateRow:
    """One kind of gate.

    Attributes:
        name: what was checked.
        figures: each figure with its limit.
        passed: whether all of the kind passed.
    """

    name: str
    figures: tuple[str, ...]
    passed: bool


def _adc(value: float) -> str:
    return f"{figure(value)} × 10⁻⁶ mm²/s"


_WORDS = {
    Reason.CONTRAST_GIVEN: ("Contrast agent before these images", "no", "yes"),
    Reason.FRAME_OF_REFERENCE_DIFFERS: ("T2 and DWI in one position", "yes", "no"),
}
_SHARES: dict[Reason, str] = {
    Reason.COVERAGE_LOW: "Slices cover the region",
    Reason.FIELD_OF_VIEW_SMALL: "T2 and DWI cover the prostate",
    Reason.VOLUME_SATURATED: "Saturated voxels",
}
_FIGURES: dict[Reason, tuple[str, Callable[[float], str]]] = {
    **{reason: (name, percent) for reason, name in _SHARES.items()},
    Reason.ADC_OUT_OF_RANGE: ("ADC, median of the middle", _adc),
    Reason.VOLUME_CONSTANT: ("Image content", figure),
    Reason.MOTION_SUSPECTED: ("Motion of the DWI", figure),
    Reason.SUSCEPTIBILITY_SUSPECTED: ("Signal loss on one side", figure),
    Reason.SIGNAL_RISES_WITH_B: ("Smallest ADC between b-values", _adc),
    Reason.ADC_DISAGREES: ("Agreement of ADC and DWI", figure),
    Reason.OUT_OF_DISTRIBUTION: ("Difference from validated images", figure),
    Reason.MEMBERS_DISAGREE: ("Spread of the networks", figure),
}


def gate_rows(quality: Sequence[QualityAnswer]) -> tuple[GateRow, ...]:
    """One row for each kind of gate; those that did not pass come first."""
    kinds: dict[Reason, list[QualityAnswer]] = {}
    for gate in quality:
        kinds.setdefault(gate.reason, []).append(gate)
    rows = [_row(reason, gates) for reason, gates in kinds.items()]
    return tuple(sorted(rows, key=lambda row: row.passed))


def _row(reason: Reason, gates: Sequence[QualityAnswer]) -> GateRow:
    passed = all(gate.passed for gate in gates)
    if reason in _WORDS:
        name, good, bad = _WORDS[reason]
        return GateRow(name, (good if passed else bad,), passed)
    name, write = _FIGURES.get(reason, (EXPLANATIONS[reason].title, figure))
    return GateRow(name, tuple(dict.fromkeys(_figures(gate, write) for gate in gates)), passed)


def _figures(gate: QualityAnswer, write: Callable[[float], str]) -> str:
    """The figure and what it was held against; which side is good follows from who passed."""
    if gate.value is None and gate.passed:
        return "could not be checked"
    value = "not finite" if gate.value is None else write(gate.value)
    if gate.value is None or gate.limit is None or gate.value == gate.limit:
        return value if gate.limit is None else f"{value} (limit {write(gate.limit)})"
    return f"{value} ({'at least' if (gate.value > gate.limit) is gate.passed else 'at most'} {write(gate.limit)})"
