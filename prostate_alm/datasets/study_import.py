"""One study of a cohort: read it, hold it against the quality gates, write it or note why not.

A study ends in one folder, `studies/KEY` when kept and `excluded/KEY` when not, with an `import.json` that holds
everything a later import needs to leave it alone.
"""

import dataclasses
import hashlib
import json
import math
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import prostate_alm
from prostate_alm.datasets.import_report import ChosenSeries, GateFigure, RunnerUp
from prostate_alm.datasets.montage import write_montage
from prostate_alm.datasets.near_duplicates import descriptor
from prostate_alm.datasets.study_folders import EXCLUDED, KEPT, begin, discard, finish
from prostate_alm.datasets.study_sources import StudySource
from prostate_alm.errors import CohortError, Reason, StudyRefusedError, StudyUnavailableError
from prostate_alm.parcel import write_json
from prostate_alm.preprocessing import Preprocessing
from prostate_alm.preprocessing.adc_scale import in_adc_units
from prostate_alm.readers import Inspection, SeriesChoice
from prostate_alm.readers.nifti import write_nifti_study
from prostate_alm.readers.rules import rules_sha256
from prostate_alm.study import QualityFinding, Series, Study

FACTS, MONTAGE = "import.json", "montage.png"
FORMAT = 4  # of import.json and of what lies beside it: raised when a study must be imported again

NOTED = frozenset(
    {
        Reason.MOTION_SUSPECTED,
        Reason.SUSCEPTIBILITY_SUSPECTED,
        Reason.FIELD_OF_VIEW_SMALL,
        Reason.CONTRAST_GIVEN,
    }
)
"""Gates about a poor image of the right thing: the study is kept and flagged, for a cohort of perfect images alone
trains a network that has never seen the others, and poor images are one reason to need DCE. The other gates are
about wrong data, and exclude."""


@dataclass(frozen=True)
class StudyTask:
    """What is to be imported.

    Attributes:
        key: of the study in the cohort.
        source: what it is read from.
        series: named by hand.
        high_b: b-value that the files leave out, s/mm².
        strict: whether every gate excludes.
    """

    key: str
    source: StudySource
    series: SeriesChoice | None = None
    high_b: float | None = None
    strict: bool = False


@dataclass(frozen=True)
class ImportedStudy:
    """What became of a study; the content of its `import.json`.

    Attributes:
        input: hash of what it was made from, and how.
        record: fields of its `StudyRecord` but those of the label table.
        entry: fields of its datalist entry but those of the label table; empty when it was excluded.
        descriptor: of its images, to find near-duplicates; empty for what could not be read.
        told: hash of how it was made: the rules, and what the label table and the command said.
    """

    input: str
    record: dict[str, Any]
    entry: dict[str, Any] = field(default_factory=dict)
    descriptor: str = ""
    told: str = ""

    @property
    def kept(self) -> bool:
        """Whether it is in the cohort."""
        return bool(self.record["kept"])


def import_study(out: Path, task: StudyTask) -> ImportedStudy:
    """Import one study below `out`, unless it is there already from the same input and by the same rules.

    What goes wrong unforeseen, or does not fit into memory, leaves the study out, to be tried again next time, and
    holds no word of the input.

    Raises:
        CohortError: a file can't be read or written. That is no fault of the study, so it stays as it was.
    """
    try:
        state = _input_state(task)
        return _already_there(out, task.key, state) or _import(out, task, state)
    except StudyUnavailableError as error:
        if error.reason is Reason.INPUT_TOO_LARGE:
            return _left_out(error.reason, f"{error.args[0]} It is tried again next time; take fewer `--workers`.")
        raise CohortError(f"study {task.key} could not be imported: {error.args[0]} {_GO_ON}") from None
    except OSError as error:
        raise CohortError(
            f"study {task.key} could not be imported ({error.strerror or type(error).__name__}); is the disk full, or "
            f"a folder closed to you? {_GO_ON}"
        ) from None
    except Exception as error:  # its text could quote the input, and with it the patient
        place = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}; please report it."
        return _left_out(Reason.INTERNAL_ERROR, message)


def _left_out(reason: Reason, message: str) -> ImportedStudy:
    """Not noted in the cohort, so that it is tried again."""
    return ImportedStudy("", {"kept": False, "reason": reason.value, "message": message})


_GO_ON = "The same command goes on from here."


def _input_state(task: StudyTask) -> str:
    """Hash of everything that the result follows from."""
    told = told_state(task.series, task.high_b, strict=task.strict)
    return hashlib.sha256(f"{told}{task.source.fingerprint()}".encode()).hexdigest()


def told_state(series: SeriesChoice | None, high_b: float | None, *, strict: bool) -> str:
    """Hash of what a study's import follows from beside its files."""
    choice = None if series is None else dataclasses.astuple(series)
    told = (FORMAT, prostate_alm.__version__, rules_sha256(), choice, high_b, strict)
    return hashlib.sha256(str(told).encode()).hexdigest()


def _already_there(out: Path, key: str, state: str) -> ImportedStudy | None:
    finished = (finished_study(out / name / key) for name in (KEPT, EXCLUDED))
    return next((one for one in finished if one is not None and one.input == state), None)


def finished_study(folder: Path) -> ImportedStudy | None:
    """What an earlier import left in a study's folder.

    Returns:
        None where there is nothing, a file is missing or of another size, or `import.json` can't be understood.
    """
    try:
        noted = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        form, files = noted.pop("format"), noted.pop("files")
        imported = ImportedStudy(**noted)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return imported if form == FORMAT and files == _sizes_in(folder) else None


def _import(out: Path, task: StudyTask, state: str) -> ImportedStudy:
    inspection, study = task.source.examine(task.series, task.high_b)
    if isinstance(inspection.refusal, StudyUnavailableError):
        raise inspection.refusal
    record = _described(inspection) | {"skipped_files": inspection.skipped_files}
    refusal, quality = inspection.refusal, ()
    if study is not None:
        record |= _measured(study)
        try:
            _check_told(study, task)
            study = in_adc_units(study)
            quality = Preprocessing()(study).quality
        except StudyRefusedError as error:
            refusal = error
    refusal = refusal or _refused_by_gate(quality, strict=task.strict)
    record["quality"] = [_figure(one).model_dump(mode="json") for one in quality]
    if refusal is not None:
        record |= {"kept": False, "reason": refusal.reason.value, "message": str(refusal.args[0])}
    elif study is not None:
        noted = [one.reason for one in quality if not one.passed]
        record |= {"kept": True, "flags": list(dict.fromkeys(flag.value for flag in (*study.flags, *noted)))}
    return _write(out, task, state, record, study)


def _check_told(study: Study, task: StudyTask) -> None:
    """Refuse where what the label table says had no effect: the files are not what its author takes them for.

    Raises:
        StudyRefusedError: series are named for files that hold no choice, or another b-value is stated.
    """
    if task.series is not None and Reason.SERIES_NAMED_BY_HAND not in study.flags:
        raise StudyRefusedError(
            Reason.SERIES_NOT_FOUND,
            "the label table names series, and these files state no series to choose from; clear its `*_series` cells.",
        )
    if task.high_b is not None and task.high_b not in study.dwi:
        stated = ", ".join(f"{b:g}" for b in study.dwi)
        raise StudyRefusedError(
            Reason.B_VALUE_UNKNOWN,
            f"`high_b` of the label table is {task.high_b:g} s/mm², and the files state {stated}; clear the cell.",
        )


def _described(inspection: Inspection) -> dict[str, Any]:
    """Series chosen and runners-up."""
    by_hand = Reason.SERIES_NAMED_BY_HAND in inspection.flags
    chosen = [_chosen(one, by_hand=by_hand) for one in inspection.chosen]
    lost = [
        RunnerUp(role=str(one.role), number=one.number, description=one.description, why=one.why)
        for one in inspection.runners_up
    ]
    return {
        name: [one.model_dump(mode="json") for one in parts]
        for name, parts in (("series", chosen), ("runners_up", lost))
    }


def _chosen(series: Series, *, by_hand: bool) -> ChosenSeries:
    return ChosenSeries(
        role=series.role,
        number=series.number,
        description=series.description,
        b_values=list(series.b_values),
        named_by_hand=by_hand,
    )


def _measured(study: Study) -> dict[str, Any]:
    """What is so of a study that was read."""
    acquisition = study.acquisition
    return {
        "vendor": acquisition.vendor,
        "model": acquisition.model,
        "field_strength": acquisition.field_strength,
        "b_values": list(study.dwi),
        "t2_spacing_mm": [round(size, 4) for size in study.t2.geometry.spacing],
        "dwi_spacing_mm": [round(size, 4) for size in study.adc.geometry.spacing],
    }


def _refused_by_gate(quality: Sequence[QualityFinding], *, strict: bool) -> StudyRefusedError | None:
    """The first gate about wrong data that did not pass; with `strict`, the first of all."""
    for one in quality:
        if not one.passed and (strict or one.reason not in NOTED):
            return StudyRefusedError(one.reason, f"the gate measured {one.value:.4g}, its limit is {one.limit:.4g}.")
    return None


def _figure(finding: QualityFinding) -> GateFigure:
    """To four digits: more would differ between machines."""
    value, limit = (
        float(f"{number:.4g}") if math.isfinite(number) else None for number in (finding.value, finding.limit)
    )
    return GateFigure(reason=finding.reason, value=value, limit=limit, passed=finding.passed)


def _write(out: Path, task: StudyTask, state: str, record: dict[str, Any], study: Study | None) -> ImportedStudy:
    """Write the study's folder, kept or excluded, and remove the other."""
    place, elsewhere = (KEPT, EXCLUDED) if record["kept"] else (EXCLUDED, KEPT)
    key, folder = task.key, out / place / task.key
    temporary = begin(folder)
    entry, described = {}, ""
    if study is not None:
        write_montage(dataclasses.replace(study, key=key), temporary / MONTAGE)
        record["montage"] = f"{place}/{key}/{MONTAGE}"
        entry = {**_entry(study, record), **write_nifti_study(study, temporary)} if record["kept"] else {}
        described = descriptor(study).to_text()
    told = told_state(task.series, task.high_b, strict=task.strict)
    imported = ImportedStudy(state, record, entry, described, told)
    noted = {**dataclasses.asdict(imported), "format": FORMAT, "files": _sizes_in(temporary)}
    write_json(temporary / FACTS, noted)
    finish(folder)
    discard(out / elsewhere / key)
    return imported


def _entry(study: Study, record: dict[str, Any]) -> dict[str, Any]:
    """What a study brings to its datalist entry beside its files; what is unknown is left out."""
    told = {name: record[name] for name in ("vendor", "model", "field_strength", "flags", "quality")}
    told["contrast_agent"] = study.acquisition.contrast_agent
    return {name: value for name, value in told.items() if value not in ("", None, [])}


def _sizes_in(folder: Path) -> dict[str, int]:
    """Bytes of each file beside `import.json`."""
    return {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.name != FACTS}
