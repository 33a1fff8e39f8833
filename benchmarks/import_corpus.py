"""Read a synthetic corpus of layouts, vendors and faults, and count what came of it (`make soak`).

    python benchmarks/import_corpus.py --cases 360 --seeds 1 --out benchmarks/results/import_corpus.json

Every case is written, read, held against the quality gates and judged against the volumes it was made of. The cases
without a fault also go through `cohort import`, in one tree with a label table. Exit status 1 if anything is wrong.
An interrupted run goes on where it stopped, if the code has not changed; what is done lies beside OUT until the end.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Image

from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.datasets.cohort_import import import_dicom_cohort
from prostate_alm.datasets.parallel import in_processes
from prostate_alm.datasets.synthetic.corpus import Case, CasePlan, plan_corpus, write_case
from prostate_alm.datasets.synthetic.layouts import Layout
from prostate_alm.datasets.synthetic.verdict import Outcome, judge, read_case
from prostate_alm.readers.rules import RULES_VERSION, rules_sha256
from prostate_alm.study import Geometry, Role, Study

ACCEPTED, DESPITE, REFUSED, WRONG = "accepted", "right in spite of the fault", "refused rightly", "wrong"
OUTCOMES = (ACCEPTED, DESPITE, REFUSED, WRONG)
VERSIONS = ("prostate-alm", "numpy", "scipy", "torch", "monai", "pydicom", "SimpleITK", "nibabel", "dcm2niix")
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
NO_COMPARISON = {Layout.NIFTI, Layout.MHA, Layout.MIXED_TREE}  # no DICOM, or several studies


@dataclass
class Result:
    """What came of one case; `problem` says what is wrong, `dcm2niix` where that tool sees another geometry."""

    seed: int
    number: int
    layout: str
    vendor: str
    fault: str
    outcome: str
    reason: str = ""
    problem: str = ""
    dcm2niix_alike: list[str] = field(default_factory=list)
    dcm2niix_differs: list[str] = field(default_factory=list)


def result_of(plan: CasePlan, *, done: Path, compare: bool) -> Result:
    """Write and judge one case, or take what an earlier run found."""
    record = done / f"{plan.key}.json"
    if record.is_file():
        return Result(**json.loads(record.read_text(encoding="utf-8")))
    fault = plan.fault.name if plan.fault else ""
    result = Result(plan.seed, plan.number, plan.layout.name, plan.vendor, fault, WRONG)
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            _judge_(result, write_case(plan, Path(folder)), compare=compare)
        except Exception as error:  # a crash is an outcome, and a wrong one
            result.problem = f"crash: {type(error).__name__}: {error}"
    partial_file = record.with_suffix(".partial")
    partial_file.write_text(json.dumps(asdict(result)), encoding="utf-8")
    partial_file.replace(record)
    return result


def _judge_(result: Result, case: Case, *, compare: bool) -> None:
    judgement = judge(case)
    result.problem, result.reason = judgement.problem, judgement.reason.value if judgement.reason else ""
    if judgement.outcome is Outcome.REFUSED:
        result.outcome = REFUSED
    elif judgement.outcome is Outcome.ACCEPTED:
        result.outcome = DESPITE if result.fault else ACCEPTED
        if compare and case.plan.layout not in NO_COMPARISON and case.path.is_dir():
            compare_(result, case, read_case(case))
    if not result.fault and result.outcome == REFUSED:
        result.outcome, result.problem = WRONG, f"refused without a fault: {result.reason}"


def compare_(result: Result, case: Case, study: Study) -> None:
    """Hold spacing, orientation and origin of the chosen series against what dcm2niix makes of them."""
    import dcm2niix  # noqa: PLC0415 - a development dependency

    with tempfile.TemporaryDirectory(prefix="dcm2niix-") as folder:
        enhanced = case.plan.layout is Layout.ENHANCED  # one by one: together, it mixes up their slopes
        for path in sorted(case.path.rglob("*.dcm")) if enhanced else [case.path]:
            single = ["-s", "y"] if enhanced else []
            command = [dcm2niix.bin, "-f", "%s", "-z", "n", "-b", "n", *single, "-o", folder, str(path)]
            subprocess.run(command, check=False, capture_output=True)
        for role, volume in ((Role.T2, study.t2), (Role.DWI, next(iter(study.dwi.values()))), (Role.ADC, study.adc)):
            numbers = [one.number for one in study.series if one.role is role]
            found = [path for number in numbers for path in Path(folder).glob(f"{number}[!0-9]*nii")]
            places = [_geometry_of(path) for path in found]
            if any(_same(place, volume.geometry) for place in places):
                result.dcm2niix_alike.append(role.name)
            elif places:
                result.dcm2niix_differs.append(role.name)


def _geometry_of(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape and LPS affine, with the rows turned back that dcm2niix turns around."""
    image = Nifti1Image.from_filename(path)
    affine = RAS_TO_LPS @ np.asarray(image.affine, dtype=float)
    affine[:3, 3] += affine[:3, 1] * (image.shape[1] - 1)
    affine[:3, 1] *= -1
    return image.shape, affine


def _same(found: tuple[tuple[int, ...], np.ndarray], geometry: Geometry) -> bool:
    """Slices may come in the other order, and the b-values of an enhanced file one above the other."""
    shape, affine = found
    turned = affine.copy()
    turned[:3, 3] += affine[:3, 2] * (geometry.shape[2] - 1)
    turned[:3, 2] *= -1
    flat = abs(np.linalg.det(affine[:3, :3])) < 1e-9  # what it makes of shuffled numbers
    if flat or shape[:2] != geometry.shape[:2] or shape[2] % geometry.shape[2]:
        return False
    return any(Geometry(geometry.shape, one).is_close(geometry, tolerance_mm=0.02) for one in (affine, turned))


def through_import(plans: Sequence[CasePlan], *, workers: int) -> dict[str, Any]:
    """Take cases through `cohort import` in one tree; name those that are not kept with the right series."""
    with tempfile.TemporaryDirectory(prefix="corpus-import-") as folder:
        tree, out = Path(folder) / "dicom", Path(folder) / "out"
        cases = [write_case(plan, tree) for plan in plans]
        table = Path(folder) / "labels.csv"
        write_labels(table, cases)
        report = import_dicom_cohort(tree, table, out, workers=workers).model_dump(mode="json")
    records = {record["index"]: record for record in report["studies"]}
    problems = {case.plan.key: _import_problem(case, records[place]) for place, case in enumerate(cases)}
    wrong = {key: problem for key, problem in problems.items() if problem}
    excluded = Counter(record["reason"] for record in report["studies"] if not record["kept"])
    kept = sum(record["kept"] for record in report["studies"])
    return {"cases": len(cases), "kept": kept, "excluded": dict(excluded), "wrong": wrong}


def write_labels(table: Path, cases: Sequence[Case]) -> None:
    """A row a case, positive every third."""
    with table.open("w", encoding="utf-8", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["study", "patient", "label", "high_b"])
        for place, case in enumerate(cases):
            rows.writerow([case.path.stem, f"p{place}", int(place % 3 == 0), f"{case.high_b:g}" if case.high_b else ""])


def _import_problem(case: Case, record: Mapping[str, Any]) -> str:
    if case.plan.layout is Layout.MIXED_TREE:
        refused = not record["kept"] and record["reason"] in {reason.value for reason in case.reasons}
        return "" if refused else f"kept or excluded for {record['reason']}; it holds two patients"
    if not record["kept"]:
        return f"excluded: {record['reason']}, {record['message']}"
    for role, numbers in case.series.items():
        found = tuple(one["number"] for one in record["series"] if one["role"] == role.value)
        if found != numbers:
            return f"{role.value} from series {found}, expected {numbers}"
    return ""


def table_of(results: Iterable[Result], attribute: str) -> dict[str, dict[str, int]]:
    """How many cases of each kind came to what."""
    table: dict[str, Counter[str]] = {}
    for result in results:
        table.setdefault(getattr(result, attribute) or "none", Counter())[result.outcome] += 1
    return {name: {outcome: counts[outcome] for outcome in OUTCOMES} for name, counts in sorted(table.items())}


def summary(
    results: Sequence[Result], options: argparse.Namespace, imported: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Everything that is published of a run."""
    totals = Counter(result.outcome for result in results)
    compared = {
        "volumes_alike": sum(len(result.dcm2niix_alike) for result in results),
        "volumes_that_differ": [asdict(result) for result in results if result.dcm2niix_differs],
    }
    return {
        "command": f"python benchmarks/import_corpus.py --cases {options.cases}"
        f" --seeds {' '.join(map(str, options.seeds))}{' --dcm2niix' if options.dcm2niix else ''}",
        "commit": commit(),
        "machine": machine(),
        "versions": {name: version(name) for name in VERSIONS},
        "rules": {"version": RULES_VERSION, "sha256": rules_sha256()},
        "cases": len(results),
        "seeds": options.seeds,
        "outcomes": {outcome: totals[outcome] for outcome in OUTCOMES},
        "without_fault": table_of([one for one in results if not one.fault], "layout"),
        "by_layout": table_of(results, "layout"),
        "by_vendor": table_of(results, "vendor"),
        "by_fault": table_of(results, "fault"),
        "reasons": dict(Counter(one.reason for one in results if one.outcome == REFUSED).most_common()),
        "wrong": [asdict(result) for result in results if result.outcome == WRONG],
        "dcm2niix": compared if options.dcm2niix else None,
        "cohort_import": imported,
        "layout_vendor_fault": [
            f"{one.seed}-{one.number:04d} {one.layout} {one.vendor} {one.fault or 'none'}: {one.outcome}"
            + (f" ({one.reason})" if one.reason else "")
            for one in results
        ],
    }


def markdown(content: Mapping[str, Any]) -> str:
    """The tables of docs/import.md."""
    lines = []
    for title, key in (("layout", "by_layout"), ("vendor", "by_vendor"), ("fault", "by_fault")):
        lines += [f"| {title} | {' | '.join(OUTCOMES)} |", f"|---|{'---|' * len(OUTCOMES)}"]
        for name, counts in content[key].items():
            lines.append(f"| `{name}` | {' | '.join(str(counts[outcome]) for outcome in OUTCOMES)} |")
        lines.append("")
    return "\n".join(lines)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=360, help="of each seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--dcm2niix", action="store_true", help="hold geometry against dcm2niix")
    parser.add_argument("--no-import", action="store_true", help="leave out `cohort import`")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/import_corpus.json"))
    parser.add_argument("--table", action="store_true", help="print the tables of OUT as Markdown, and run nothing")
    return parser.parse_args()


def main() -> int:
    """Run every case and write the tables."""
    options = parsed()
    if options.table:
        print(markdown(json.loads(options.out.read_text(encoding="utf-8"))))
        return 0
    plans = [plan for seed in options.seeds for plan in plan_corpus(options.cases, seed)]
    done = options.out.with_name(f".{options.out.stem}-{commit()[:12]}{'-dcm2niix' if options.dcm2niix else ''}")
    if commit().endswith("+changes"):
        shutil.rmtree(done, ignore_errors=True)  # nobody knows of what code the earlier results are
    done.mkdir(parents=True, exist_ok=True)
    work = partial(result_of, done=done, compare=options.dcm2niix)
    results = in_processes(work, plans, workers=options.workers, title="corpus")
    imported = None
    if not options.no_import:
        imported = through_import([plan for plan in plans if plan.fault is None], workers=options.workers)
    content = summary(results, options, imported)
    options.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(done)
    print(content["outcomes"], "cohort import:", imported)
    for result in content["wrong"]:
        print(result)
    return int(bool(content["wrong"] or (imported and imported["wrong"])))


if __name__ == "__main__":
    sys.exit(main())
