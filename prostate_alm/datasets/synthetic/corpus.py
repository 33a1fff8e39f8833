"""A corpus of examinations over layouts, vendors and faults, each with what a reader may make of it.

Case ``i`` of a seed is the same whatever the number of cases. The first cases are every layout of every vendor
without a fault; then faults follow each other, each in a layout it can happen in.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count, islice, product
from pathlib import Path

import numpy as np

from prostate_alm.datasets.synthetic import exports
from prostate_alm.datasets.synthetic.enhanced_writer import write_multi_frames
from prostate_alm.datasets.synthetic.examination import Examination, write_single_frames
from prostate_alm.datasets.synthetic.faults import RULES, Fault
from prostate_alm.datasets.synthetic.file_faults import Written, break_files, truncate
from prostate_alm.datasets.synthetic.layouts import Laid, Layout, lay_out
from prostate_alm.datasets.synthetic.patient import acquire_study
from prostate_alm.datasets.synthetic.presets import Cause, Truth
from prostate_alm.datasets.synthetic.series_faults import break_series
from prostate_alm.datasets.synthetic.study_faults import break_study
from prostate_alm.datasets.synthetic.vendors import VENDORS, Vendor
from prostate_alm.errors import ArgumentError, Reason
from prostate_alm.study import Role, Study

ARTEFACTS = {Fault.MOTION: Cause.MOTION_GHOSTING, Fault.METAL: Cause.PROSTHESIS_VOID}


@dataclass(frozen=True)
class CasePlan:
    """Which case of a corpus.

    Attributes:
        number, seed: everything else that is drawn follows from these.
        layout: how the examination is laid out.
        vendor: whose conventions are used.
        fault: what is wrong; None for nothing.
    """

    number: int
    seed: int
    layout: Layout
    vendor: str
    fault: Fault | None = None

    @property
    def key(self) -> str:
        """Pseudonymous name."""
        return f"case{self.seed}-{self.number:04d}"

    def rng(self, stream: int) -> np.random.Generator:
        """An independent stream of random numbers of this case."""
        return np.random.default_rng([self.seed, self.number, stream])


@dataclass(frozen=True, eq=False)
class Case:
    """A case on disk.

    Attributes:
        plan: which it is.
        path: folder or zip to be read.
        studies: what a reader may make of it, one for each examination it holds; none when it must be refused.
        series: numbers of the right series by role; empty for files without numbers.
        reasons: for which a refusal is right.
        high_b: b-value in s/mm² that the files leave out; 0 where they state it.
    """

    plan: CasePlan
    path: Path
    studies: tuple[Study, ...]
    series: Mapping[Role, tuple[int, ...]]
    reasons: frozenset[Reason]
    high_b: float = 0.0


def plan_corpus(number: int, seed: int) -> list[CasePlan]:
    """The first cases of a corpus.

    Raises:
        ArgumentError: `number` or `seed` is negative.
    """
    if number < 0 or seed < 0:
        raise ArgumentError("`number` and `seed` must be at least 0.")
    return list(islice(_plans(seed), number))


def _plans(seed: int) -> Iterator[CasePlan]:
    numbers = count()
    for layout, vendor in product(Layout, VENDORS):
        yield CasePlan(next(numbers), seed, layout, vendor.name)
    while True:
        for fault in Fault:
            number = next(numbers)
            rng, layouts = np.random.default_rng([seed, number]), sorted(RULES[fault].layouts)
            layout = layouts[int(rng.integers(len(layouts)))]
            yield CasePlan(number, seed, layout, VENDORS[int(rng.integers(len(VENDORS)))].name, fault)


def generate_corpus(out: Path, number: int, seed: int) -> list[Case]:
    """Write the first cases of a corpus below `out`, each in a folder of its own."""
    return [write_case(plan, out) for plan in plan_corpus(number, seed)]


def write_case(plan: CasePlan, out: Path) -> Case:
    """Write one case below `out`."""
    vendor = next(vendor for vendor in VENDORS if vendor.name == plan.vendor)
    study = draw_study(plan, vendor)
    faulty, right = break_study(plan.fault, study, plan.rng(2))
    folder = out / plan.key
    if plan.layout is Layout.NIFTI:
        return _write_nifti(plan, faulty, right, folder)
    if plan.layout is Layout.MHA:
        return _write_mha(plan, faulty, right, folder)
    if plan.layout is Layout.MIXED_TREE:
        return _write_mixed(plan, study, vendor, folder)
    laid = break_series(plan.fault, lay_out(plan.layout, faulty, vendor))
    _write_dicom(plan, laid, vendor, folder)
    right = break_files(plan.fault, _written(plan, laid, folder, right), plan.rng(3))
    return _case(plan, _packed(plan, folder), right, laid.roles)


def draw_study(plan: CasePlan, vendor: Vendor, patient: int = 0) -> Study:
    """The patient of a case, free of disease and, but where that is the fault, of artefacts."""
    artefact = ARTEFACTS.get(plan.fault) if plan.fault is not None else None
    severity = 0.0 if artefact is None else float(plan.rng(4).uniform(0.6, 1.0))
    reason = Cause.NORMAL if artefact is None else artefact
    truth = Truth(0, reason.value, 0.0, 0.0, severity, "" if artefact is None else artefact.value, vendor.name, "HFS")
    return acquire_study(truth, vendor.scanner, plan.rng(100 + patient), key=f"{plan.key}-{patient}")


def _case(plan: CasePlan, path: Path, right: Study, roles: Mapping[Role, tuple[int, ...]], high_b: float = 0.0) -> Case:
    rule = None if plan.fault is None else RULES[plan.fault]
    studies = (right,) if rule is None or rule.readable else ()
    return Case(plan, path, studies, roles, frozenset() if rule is None else rule.reasons, high_b)


def _examination(plan: CasePlan, laid: Laid, vendor: Vendor, patient: int = 0) -> Examination:
    position = "FFS" if plan.fault is Fault.FEET_FIRST else "HFS"
    return Examination(f"{plan.key}-{patient}", patient, vendor, laid.series, position)


def _write_dicom(plan: CasePlan, laid: Laid, vendor: Vendor, folder: Path) -> None:
    write = write_multi_frames if plan.layout is Layout.ENHANCED else write_single_frames
    write(_examination(plan, laid, vendor), folder)


def _written(plan: CasePlan, laid: Laid, folder: Path, right: Study) -> Written:
    """A broken series that has a repeat is replaced by it: there, faults hit the other series."""
    repeated = plan.layout is Layout.REPEATED_T2
    targets = tuple(role for role in laid.roles if not (repeated and role is Role.T2))
    return Written(folder, laid.roles, targets, right)


def _packed(plan: CasePlan, folder: Path) -> Path:
    """What the archive makes of the files."""
    if plan.layout is Layout.DISK:
        exports.make_disk(folder)
    elif plan.layout is Layout.DUPLICATES:
        exports.double_files(folder)
    elif plan.layout is Layout.COMPRESSED:
        syntaxes = exports.lossless_syntaxes()
        exports.compress_files(folder, syntaxes[plan.number % len(syntaxes)])
    elif plan.layout is Layout.ZIP:
        target = folder.with_suffix(".zip")
        exports.zip_folder(folder, target)
        return target
    return folder


def _write_nifti(plan: CasePlan, faulty: Study, right: Study, folder: Path) -> Case:
    faulty, right = exports.with_rows_turned(faulty), exports.with_rows_turned(right)
    exports.write_dcm2niix_files(faulty, (3, 4, 5), folder)
    _break_single_files(plan, {Role.T2: "3_*", Role.DWI: "4_*", Role.ADC: "5_*"}, folder)
    return _case(plan, folder, right, {})


def _write_mha(plan: CasePlan, faulty: Study, right: Study, folder: Path) -> Case:
    high_b = exports.write_picai_files(faulty, plan.number, folder)
    _break_single_files(plan, {Role.T2: "*_t2w.mha", Role.DWI: "*_hbv.mha", Role.ADC: "*_adc.mha"}, folder)
    return _case(plan, folder, replace(right, dwi={high_b: right.dwi[high_b]}), {}, high_b)


def _break_single_files(plan: CasePlan, patterns: Mapping[Role, str], folder: Path) -> None:
    """Take away the files of one role, or cut one off."""
    for fault, role in ((Fault.NO_T2, Role.T2), (Fault.NO_DWI, Role.DWI), (Fault.NO_ADC, Role.ADC)):
        for path in folder.glob(patterns[role]) if plan.fault is fault else ():
            path.unlink()
    if plan.fault is Fault.TRUNCATED_FILE:
        rng = plan.rng(3)
        images = sorted(path for pattern in patterns.values() for path in folder.glob(pattern))
        images = [path for path in images if path.name.endswith((".nii.gz", ".mha"))]
        truncate(images[int(rng.integers(len(images)))], rng)


def _write_mixed(plan: CasePlan, first: Study, vendor: Vendor, folder: Path) -> Case:
    """Two patients, the second examined twice by other vendors' scanners; all files lie in one folder."""
    others = [VENDORS[(VENDORS.index(vendor) + step) % len(VENDORS)] for step in (1, 2)]
    studies = [first, *(draw_study(plan, other, patient) for patient, other in enumerate(others, start=1))]
    for place, (study, scanner) in enumerate(zip(studies, (vendor, *others), strict=True)):
        laid = lay_out(Layout.MULTI_B, study, scanner)
        examination = replace(_examination(plan, laid, scanner, place), patient=min(place, 1))
        write_single_frames(examination, folder / f"part{place}")
        for path in sorted((folder / f"part{place}").iterdir()):
            path.replace(folder / f"{place}-{path.name}")
        (folder / f"part{place}").rmdir()
    return Case(plan, folder, tuple(studies), {}, frozenset({Reason.MULTIPLE_PATIENTS, Reason.MULTIPLE_STUDIES}))
