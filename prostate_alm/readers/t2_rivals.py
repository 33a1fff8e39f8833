"""Several axial T2 series in one study: which are of a better kind, and which are alike enough to be told apart.

An original image comes before one computed from others, one without fat suppression before one with, one before
contrast before one after. No such merit decides against a finer series, and between series of two weightings it decides
for a clearly finer one alone. Spacing and time decide only between what was acquired alike: a repeat, or the same
weighting in another field of view. Everything else is left to a person.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.rules import CHOICE, GEOMETRY, ROLES

_FAT_OPTIONS = re.compile(ROLES.fat_options)
_FAT_WORDS = re.compile(ROLES.fat_description)
_CONTRAST_WORDS = re.compile(ROLES.contrast_description)
_NO_CONTRAST_WORDS = re.compile(ROLES.no_contrast_description)


@dataclass(frozen=True)
class T2Kind:
    """What a T2 series was made with, as far as its header tells.

    Attributes:
        name: how messages speak of the series.
        image_type, options: ImageType and ScanOptions, upper case.
        words: in which fat suppression or contrast may be named, upper case; a hint where elements are silent.
        enhanced: whether a contrast agent is named, or was given before.
        echo_time, repetition_time: ms; None when absent.
        spacing: mm, the larger one in plane; infinite when unknown.
    """

    name: str
    image_type: tuple[str, ...]
    options: tuple[str, ...]
    words: str
    enhanced: bool
    echo_time: float | None
    repetition_time: float | None
    spacing: float

    @property
    def original(self) -> bool:
        """Whether nothing says that it was computed from other images."""
        return "DERIVED" not in self.image_type

    @property
    def with_fat(self) -> bool:
        """Whether nothing says that fat was suppressed."""
        suppressed = any(_FAT_OPTIONS.search(item) for item in self.options) or _FAT_WORDS.search(self.words)
        return not suppressed and not set(ROLES.water_types) & set(self.image_type)

    @property
    def contrast(self) -> bool:
        """Whether it was acquired after contrast, by an element, another series or a word."""
        words = _NO_CONTRAST_WORDS.sub("", self.words)
        return self.enhanced or _CONTRAST_WORDS.search(words) is not None

    @property
    def merits(self) -> tuple[bool, bool, bool]:
        """Original, without fat suppression, before contrast."""
        return self.original, self.with_fat, not self.contrast

    def is_finer(self, other: "T2Kind") -> bool:
        """Whether its pixels are smaller."""
        return self.spacing < other.spacing - GEOMETRY.spacing_tolerance

    def is_coarser(self, other: "T2Kind") -> bool:
        """Whether its pixels are larger."""
        return other.is_finer(self)


def refuse_unlike(kinds: Sequence[T2Kind]) -> None:
    """Raise when T2 series of equal merit were acquired differently, so that neither spacing nor time may decide.

    Raises:
        StudyRefusedError: they differ in echo time, repetition time, ScanOptions or ImageType.
    """
    first = kinds[0]
    differ = [words for other in kinds[1:] for words in _differences(first, other)]
    if differ:
        raise ambiguous_t2(kinds, f"differ in {', '.join(dict.fromkeys(differ))}")


def refuse_better(winner: T2Kind, others: Sequence[T2Kind]) -> None:
    """Raise when a series that lost is of a better kind than the winner in some way, or may be the better one.

    Raises:
        StudyRefusedError: one that lost is original, without fat suppression or before contrast where the winner
            isn't; or it is finer; or it is of another weighting, and the winner is not clearly finer.
    """
    better = [one for one in others if any(b and not a for a, b in zip(winner.merits, one.merits, strict=True))]
    if better:
        raise ambiguous_t2([winner, *better], "are derived, fat-suppressed or after contrast in turn")
    finer = [one for one in others if one.is_finer(winner)]
    if finer:
        raise ambiguous_t2([winner, *finer], "the first is coarser")
    rivals = [one for one in others if not of_one_weighting(winner, one)]
    rivals = [one for one in rivals if winner.spacing > CHOICE.t2_clearly_finer * one.spacing]
    if rivals:
        raise ambiguous_t2([winner, *rivals], "differ in echo or repetition time")


def refuse_set_aside(winner: T2Kind, others: Sequence[T2Kind]) -> None:
    """Raise when a series that a word or its echo time alone keeps from being a T2 is as fine as the winner.

    Raises:
        StudyRefusedError: there is one.
    """
    rivals = [one for one in others if not one.is_coarser(winner)]
    if rivals:
        raise ambiguous_t2([winner, *rivals], "only a word or its echo time speaks against all but the first")


def of_one_weighting(first: T2Kind, other: T2Kind) -> bool:
    """Whether echo and repetition times are alike."""
    return _alike(first.echo_time, other.echo_time, CHOICE.t2_echo_times_alike) and _alike(
        first.repetition_time, other.repetition_time, CHOICE.t2_repetition_times_alike
    )


def ambiguous_t2(kinds: Sequence[T2Kind], why: str) -> StudyRefusedError:
    """The refusal of a study in which several series could be the T2; the first would have been chosen."""
    names = ", ".join(one.name for one in kinds)
    return StudyRefusedError(
        Reason.SERIES_AMBIGUOUS, f"{names} could each be the axial T2, and {why}; name the one to be used by hand."
    )


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
