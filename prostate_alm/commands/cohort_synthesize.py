"""`prostate-alm cohort synthesize`: write a cohort of patients who never were."""

from pathlib import Path

from rich.console import Console

from prostate_alm.datasets.synthetic.cohort import CohortPlan, synthesize_cohort


def synthesize(
    out: Path,
    *,
    patients: int,
    seed: int,
    format: str,  # noqa: A002 (the name of the command's option)
    prevalence: float,
    difficulty: str,
    test_patients: int,
    workers: int,
) -> None:
    """Write a synthetic cohort below `out` and say where its index lies.

    Args:
        out: a new folder, or one with the same cohort to resume or extend.
        patients: how many to train on.
        seed: of everything that is drawn.
        format: "nifti" with `datalist.json`, or "dicom" with `labels.csv`.
        prevalence: share of positives, in training and in test.
        difficulty: "easy" or "default".
        test_patients: how many more, unseen.
        workers: how many processes.

    Raises:
        ArgumentError: an argument is out of its range.
        CohortError: `out` holds a cohort made with other arguments.
    """
    plan = CohortPlan(patients, test_patients, seed, prevalence, difficulty, format)
    index = synthesize_cohort(out, plan, workers=workers)
    positives = sum(patient.label for split in ("training", "test") for patient in plan.of_split(split))
    Console().print(f"{patients + test_patients} synthetic patients, {positives} of them positive: {index}")
