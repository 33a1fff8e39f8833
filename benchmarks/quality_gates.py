"""How often each quality gate fires on synthetic studies without and with a loss of quality.

    python benchmarks/quality_gates.py --clean 200 --spoilt 40 --out benchmarks/results/quality_gates.json
    python benchmarks/quality_gates.py --coarse --out benchmarks/results/quality_gates_coarse.json

Clean: `default` preset, no artefact. Inadequate: severity as of positives (0.35-1). Mild: 0.05-0.30. Box of the "tiny"
profile. Coarse: patients of the corpus, in diffusion voxels of 3.6-4.2 mm; severity 0.6-1.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.datasets.parallel import in_processes
from prostate_alm.datasets.synthetic.corpus import CasePlan, draw_study
from prostate_alm.datasets.synthetic.faults import Fault
from prostate_alm.datasets.synthetic.layouts import Layout
from prostate_alm.datasets.synthetic.patient import synthesize_study
from prostate_alm.datasets.synthetic.presets import PatientPlan, draw_truth
from prostate_alm.datasets.synthetic.vendors import VENDORS
from prostate_alm.errors import StudyRefusedError
from prostate_alm.preprocessing import Preprocessing
from prostate_alm.preprocessing.adc_scale import in_adc_units
from prostate_alm.study import Study

MILD = 0.35


def plans(group: str, seed: int) -> Iterator[PatientPlan]:
    """Patients of a group: "clean", or an artefact with ", mild" or ", inadequate"."""
    for number in count():
        plan = PatientPlan(seed, "training", number, 0.36, "default")
        truth = draw_truth(plan)
        degree = ", mild" if truth.severity < MILD else ", inadequate"
        if (truth.artefact + degree if truth.artefact else "clean") == group:
            yield plan


def coarse_plans(group: str, seed: int) -> Iterator[CasePlan]:
    """Patients of a group, in turn on each vendor's scanner of the corpus."""
    fault = {"clean": None, "motion_ghosting, inadequate": Fault.MOTION, "prosthesis_void, inadequate": Fault.METAL}[
        group
    ]
    for number in count():
        yield CasePlan(number, seed, Layout.MULTI_B, VENDORS[number % len(VENDORS)].name, fault)


def study_of(plan: PatientPlan | CasePlan) -> Study:
    """The patient of a cohort or of the corpus."""
    if isinstance(plan, CasePlan):
        return draw_study(plan, next(vendor for vendor in VENDORS if vendor.name == plan.vendor))
    return synthesize_study(plan)[0]


def gate_values(profile: str, plan: PatientPlan | CasePlan) -> list[tuple[str, float, bool]]:
    """Name, figure and outcome of every gate for one patient."""
    study = study_of(plan)
    try:
        study = in_adc_units(study)
    except StudyRefusedError as error:
        return [(error.reason.value, float("nan"), False)]
    seen: dict[str, int] = defaultdict(int)
    rows: list[tuple[str, float, bool]] = []
    for finding in Preprocessing(profile)(study).quality:
        seen[finding.reason] += 1
        rows.append((f"{finding.reason.value} {seen[finding.reason]}", finding.value, finding.passed))
    return rows


def measure(group: str, number: int, *, seed: int, workers: int, coarse: bool) -> dict[str, Any]:
    """Fired share and range of figures by gate."""
    tasks = list(islice(coarse_plans(group, seed) if coarse else plans(group, seed), number))
    found = in_processes(partial(gate_values, "tiny"), tasks, workers=workers, title=group)
    values: dict[str, list[float]] = defaultdict(list)
    fired: dict[str, int] = defaultdict(int)
    for rows in found:
        for name, value, passed in rows:
            values[name].append(value)
            fired[name] += not passed
    gates = {
        name: {"fired": fired[name], "lowest": round(min(figures), 4), "highest": round(max(figures), 4)}
        for name, figures in values.items()
    }
    return {"studies": number, "any_gate_fired": sum(any(not row[2] for row in rows) for rows in found), "gates": gates}


def main() -> None:
    """Measure every group and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clean", type=int, default=200)
    parser.add_argument("--spoilt", type=int, default=40)
    parser.add_argument("--seed", type=int, default=12)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--coarse", action="store_true", help="patients and scanners of the corpus")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/quality_gates.json"))
    options = parser.parse_args()
    artefacts = ("motion_ghosting", "prosthesis_void", "gas_distortion")[: 2 if options.coarse else 3]
    degrees = ("inadequate",) if options.coarse else ("mild", "inadequate")
    groups = {"clean": options.clean} | {f"{a}, {d}": options.spoilt for a in artefacts for d in degrees}
    result = {
        "command": "python benchmarks/quality_gates.py "
        f"--clean {options.clean} --spoilt {options.spoilt} --seed {options.seed}"
        f"{' --coarse' if options.coarse else ''}",
        "commit": commit(),
        "machine": machine(),
        "groups": {
            group: measure(group, number, seed=options.seed, workers=options.workers, coarse=options.coarse)
            for group, number in groups.items()
        },
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for group, found in result["groups"].items():
        print(f"{group}: any gate fired in {found['any_gate_fired']} of {found['studies']}")
        for name, gate in found["gates"].items():
            print(f"    {name}: {gate}")


if __name__ == "__main__":
    main()
