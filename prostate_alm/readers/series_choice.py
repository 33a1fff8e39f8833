"""How a person names the series to be read, where the rules would refuse or choose another."""

import re
from dataclasses import dataclass, fields

from prostate_alm.errors import ArgumentError

_NUMBERS = re.compile(r"\d+( *\+ *\d+)*")
_DECIMAL = re.compile(r"\d+\.\d*")


@dataclass(frozen=True)
class SeriesChoice:
    """Series named by hand, each by number or by description, never by UID; None leaves the choice to the rules.

    A name of digits is a series number; ``"6+8"`` names two series that hold one b-value each. Anything else is a
    series description, compared without regard to case, that must occur once in the study.

    >>> SeriesChoice(t2="4", dwi="6+8").numbers("dwi")
    (6, 8)
    >>> SeriesChoice(adc="ep2d_diff_ADC").numbers("adc") is None
    True

    Attributes:
        t2: axial T2-weighted series.
        dwi: diffusion-weighted series, several only with one b-value each.
        adc: map of the apparent diffusion coefficient.
    """

    t2: str | None = None
    dwi: str | None = None
    adc: str | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            text = getattr(self, one.name)
            clean = text.strip() if text is not None else ""
            object.__setattr__(self, one.name, clean or None)
            if clean and _DECIMAL.fullmatch(clean):
                raise ArgumentError(
                    f"`{one.name}` is {clean!r}, and a series number has no decimal point; write it without."
                )
        for role in ("t2", "adc"):
            if len(self.numbers(role) or ()) > 1:
                raise ArgumentError(f"`{role}` names several series; one is read, so name one number.")

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) is not None for one in fields(self))

    def numbers(self, role: str) -> tuple[int, ...] | None:
        """The series numbers named for a role (``t2``, ``dwi``, ``adc``); None for a description or nothing."""
        text = getattr(self, role)
        if text is None or not _NUMBERS.fullmatch(text):
            return None
        return tuple(int(part) for part in text.split("+"))
