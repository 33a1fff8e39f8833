"""What of an import a person should look at first, the worst on top."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from prostate_alm.datasets.import_report import ConflictKind, DuplicateKind, ImportReport, NearDuplicate
from prostate_alm.datasets.import_wording import counted, in_words, ranges, share
from prostate_alm.errors import Reason

Level = Literal["error", "warning", "note"]
SHOWN = 40  # entries of one notice; the JSON has all


@dataclass(frozen=True)
class Entry:
    """A line of a notice.

    Attributes:
        keys: studies it is about, to be linked.
        text: what is said of them.
    """

    keys: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Notice:
    """One thing that needs attention.

    Attributes:
        level: an error spoils training or evaluation; a warning wants a look; a note is for the record.
        title: what it is, with its count.
        text: what it means and what to do.
        entries: what it is about.
    """

    level: Level
    title: str
    text: str = ""
    entries: tuple[Entry, ...] = ()

    @property
    def shown(self) -> tuple[Entry, ...]:
        """The first entries."""
        return self.entries[:SHOWN]


def notices(report: ImportReport) -> list[Notice]:
    """Everything that needs attention: errors, then warnings, then notes."""
    everything = [*_duplicates(report), *_conflicts(report), *_unmatched(report), *_excluded(report), *_kept(report)]
    return sorted(everything, key=lambda notice: ("error", "warning", "note").index(notice.level))


def counted_levels(report: ImportReport) -> str:
    """How many errors and warnings there are, as in ``1 error, 2 warnings``; empty where there is none."""
    counts = Counter(notice.level for notice in notices(report))
    return ", ".join(counted(counts[level], level) for level in ("error", "warning") if counts[level])


def _duplicates(report: ImportReport) -> Iterator[Notice]:
    pairs = report.near_duplicates
    across = [pair for pair in pairs if pair.splits_differ]
    strangers = [pair for pair in pairs if not pair.same_patient and not pair.splits_differ]
    repeated = [pair for pair in pairs if pair.same_patient and not pair.splits_differ]
    yield from _pairs(
        "error",
        across,
        "of the same images in training and in test",
        "The test set no longer holds unseen patients. Give both studies one patient in the label table, or drop one.",
    )
    yield from _pairs(
        "error",
        strangers,
        "of the same images under two patients",
        "Folds that keep patients apart would tear them apart. Find out whose images they are.",
    )
    yield from _pairs("warning", repeated, "of the same images of one patient", "One examination would count twice.")


def _pairs(level: Level, pairs: Sequence[NearDuplicate], what: str, text: str) -> Iterator[Notice]:
    if pairs:
        entries = tuple(Entry((pair.first, pair.second), _alike(pair)) for pair in pairs)
        yield Notice(level, f"{counted(len(pairs), 'pair')} {what}", text, entries)


def _alike(pair: NearDuplicate) -> str:
    alike = (
        "identical voxels" if pair.kind is DuplicateKind.IDENTICAL else f"nearly alike, distance {pair.distance:.2f}"
    )
    return alike + ("; the labels differ" if pair.labels_differ else "")


def _conflicts(report: ImportReport) -> Iterator[Notice]:
    titles: dict[ConflictKind, tuple[Level, str]] = {
        ConflictKind.PATIENT_ID_SHARED: ("error", "of one PatientID under several patients of the label table"),
        ConflictKind.PERSON_SHARED: ("error", "of one name and birth date under several patients and PatientIDs"),
        ConflictKind.SOURCE_GONE_OUTDATED: ("error", "of a study that could not be imported as asked now"),
        ConflictKind.LABELS_DIFFER: ("error", "with labels that contradict each other"),
        ConflictKind.PATIENT_IDS_DIFFER: ("warning", "of one patient of the label table under several PatientIDs"),
        ConflictKind.SOURCE_GONE: ("warning", "of a study kept from an earlier import, whose files are gone now"),
        ConflictKind.PATIENT_REPEATED: ("note", "of a patient with several studies"),
    }
    for kind, (level, title) in titles.items():
        entries = tuple(
            Entry(tuple(one.keys), one.message.rstrip(".") + (f" ({_lines(one.lines)})" if one.lines else ""))
            for one in report.conflicts
            if one.kind is kind
        )
        if entries:
            yield Notice(level, f"{counted(len(entries), 'case')} {title}", entries=entries)


def _lines(numbers: Sequence[int]) -> str:
    return f"{'line' if len(numbers) == 1 else 'lines'} {ranges(numbers)}"


def _unmatched(report: ImportReport) -> Iterator[Notice]:
    lines, strays = report.rows_without_study, report.studies_without_row
    if lines:
        yield Notice(
            "warning",
            f"{counted(len(lines), 'row')} of the label table without images",
            f"{_lines(lines).capitalize()}. Check the names in its column “study”, and whether the export is whole.",
        )
    if strays:
        text = "Not imported and without a key: their names stand only in the folder they came from."
        yield Notice("warning", f"{counted(strays, 'study')} without a row in the label table", text)
    if left := report.folders_without_row:
        text = "They were imported before, are not in the datalist, and stay on the disk; `--prune` removes them."
        yield Notice("warning", f"{counted(left, 'finished study')} that no row names any more", text)


def _excluded(report: ImportReport) -> Iterator[Notice]:
    excluded = [study for study in report.studies if not study.kept]
    if excluded:
        positives, of_all = sum(study.label for study in excluded), sum(study.label for study in report.studies)
        text = (
            f"With label 1: {positives}{share(positives, len(excluded))}; of all found: "
            f"{of_all}{share(of_all, report.found)}. Exclusions that strike one label more bias a cohort."
        )
        entries = _by_reason((study.reason, study.key) for study in excluded if study.reason is not None)
        yield Notice("warning", f"{counted(len(excluded), 'study')} excluded", text, entries)


def _kept(report: ImportReport) -> Iterator[Notice]:
    kept = [study for study in report.studies if study.kept]
    failed = _by_reason((gate.reason, study.key) for study in kept for gate in study.quality if not gate.passed)
    if failed:
        keys = {key for entry in failed for key in entry.keys}
        text = "The service would answer them fail-safe. They are kept so that training sees such images."
        yield Notice("note", f"{counted(len(keys), 'study')} kept although a quality gate did not pass", text, failed)
    gates = {gate.reason for study in kept for gate in study.quality}
    flagged = _by_reason((flag, study.key) for study in kept for flag in study.flags if flag not in gates)
    if flagged:
        keys = {key for entry in flagged for key in entry.keys}
        yield Notice("note", f"{counted(len(keys), 'study')} kept with a note", "", flagged)


def _by_reason(pairs: Iterable[tuple[Reason, str]]) -> tuple[Entry, ...]:
    """An entry for each reason, the commonest first, with its studies."""
    keys: dict[Reason, dict[str, None]] = {}
    for reason, key in pairs:
        keys.setdefault(reason, {})[key] = None
    counts = Counter({reason: len(found) for reason, found in keys.items()})
    ordered = sorted(counts, key=lambda reason: (-counts[reason], reason))
    return tuple(
        Entry(tuple(keys[reason]), f"{in_words(reason)}, {counted(counts[reason], 'study')}") for reason in ordered
    )
