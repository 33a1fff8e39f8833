"""Several axial T2 series in one study: which are of a better kind, and which are alike enough to be told apart.

An original image comes before one computed from others, one without fat suppression before one with, one before
contrast before one after. Spacing and time tell apart only what was acquired alike: a repeat, or the same weighting in
another field of view. Everything else is left to a person.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.rules import CHOICE, ROLES

_FAT_OPTIONS = re.compile(ROLES.fat_options)
_FAT_WORDS = re.compile(ROLES.fat_description)


@dataclass(frozen=True)
class T2Kind:
    """What a T2 series was made with, as far as its header tells.

    Attributes:
        name: how messages speak of the series.
        image_type, options: ImageType and ScanOptions, upper case.
        words: in which fat suppression may be named, upper case; a hint where ScanOptions is silent.
        contrast: whether a contrast agent is named.
        echo_time, repetition_time: ms; None when absent.
    """

    name: str
    image_type: tuple[str, ...]
    options: tuple[str, ...]
    words: str
    contrast: bool
    echo_time: float | None
    repetition_time: float | None

    @property
    def original(self) -> bool:
        """Whether nothing says that it was computed from other images."""
        return "DERIVED" not in self.image_type

    @property
    def with_fat(self) -> bool:
        """Whether nothing says that fat was suppressed."""
        return not any(_FAT_OPTIONS.search(item) for item in self.options) and not _FAT_WORDS.search(self.words)

    @property
    def merits(self) -> tuple[bool, bool, bool]:
        """Original, without fat suppression, before contrast."""
        return self.original, self.with_fat, not self.contrast


def refuse_unlike(kinds: Sequence[T2Kind]) -> None:
    """Raise when T2 series of equal merit were acquired differently, so that neither spacing nor time may decide.

    Raises:
        StudyRefusedError: they differ in echo time, repetition time, ScanOptions or ImageType.
    """
    first = kinds[0]
    differ = [words for other in kinds[1:] for words in _differences(first, other)]
    if differ:
        raise _ambiguous(kinds, f"differ in {', '.join(dict.fromkeys(differ))}")


def refuse_better(winner: T2Kind, others: Sequence[T2Kind]) -> None:
    """Raise when a series that lost is of a better kind than the winner in some way.

    Raises:
        StudyRefusedError: one that lost is original, without fat suppression or before contrast where the winner isn't.
    """
    better = [one for one in others if any(b and not a for a, b in zip(winner.merits, one.merits, strict=True))]
    if better:
        raise _ambiguous([winner, *better], "are derived, fat-suppressed or after contrast in turn")


def _differences(first: T2Kind, other: T2Kind) -> list[str]:
    alike = {
        "echo time": _alike(first.echo_time, other.echo_time, CHOICE.t2_echo_times_alike),
        "repetition time": _alike(first.repetition_time, other.repetition_time, CHOICE.t2_repetition_times_alike),
        "ScanOptions": set(first.options) == set(other.options),
        "ImageType": first.image_type == other.image_type,
    }
    return [name for name, is_alike in alike.items() if not is_alike]


def _alike(first: float | None, other: float | None, tolerance: float) -> bool:
    if first is None or other is None:
        return first is other
    return abs(first - other) <= tolerance * max(first, other)


def _ambiguous(kinds: Sequence[T2Kind], why: str) -> StudyRefusedError:
    names = ", ".join(one.name for one in kinds)
    return StudyRefusedError(
        Reason.SERIES_AMBIGUOUS, f"{names} could each be the axial T2, and {why}; name the one to be used by hand."
    )
