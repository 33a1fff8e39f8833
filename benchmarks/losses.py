"""Time and memory of the ranking constraint's forward and backward, against other ways to compute it.

All methods of a size take turns in one process on one thread; a figure is the least CPU time over the rounds, so other
load on the machine disturbs it little. Peak memory is what a fresh process needs beyond its inputs (Linux only).

    python benchmarks/losses.py [--rounds 9] [--out benchmarks/results/losses.json]
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from prostate_alm.losses import ALMLoss, BCELoss, RankingConstraint, violation
from prostate_alm.losses.multiclass import dense_own_class_violation, own_class_dense_is_faster, own_class_violation
from prostate_alm.losses.violation import VIOLATION_LIMIT, dense_violation

Run = Callable[[], None]
SIZES = ((4, 60), (64, 4096), (1000, 100_000))  # critical x others
# where the automatic choice has just turned to sorting, and far to either side
CHOICE_SIZES = (
    *((72, 4096), (300, 800), (1000, 260), (28, 50_000), (20_000, 56), (16, 1000), (2, 1_000_000), (100_000, 4)),
    *((1000, 1000), (256, 16_384)),
)
MULTICLASS_SIZES = (  # classes, critical, others
    *((10, 4, 124), (100, 4, 124), (10, 100, 1000), (100, 40, 4000), (10, 300, 30_000), (100, 300, 30_000)),
)
DELTA, MU = 0.25, 1e-3
LOOP_PAIRS = 10_000  # the double loop takes a second for more


class NotHereError(Exception):
    """A method can't run here, and why."""


def cost(q: torch.Tensor, others: int) -> torch.Tensor:
    """Eq. 5 without the base loss, all multipliers 1."""
    return (MU / 2 * q.square() + q).sum() / (q.numel() * others)


def on_sides(form: Callable[..., torch.Tensor], critical: int, others: int) -> Run:
    """A violation between two sets of scores."""
    torch.manual_seed(0)
    p, n = torch.randn(critical, requires_grad=True), torch.randn(others, requires_grad=True)
    return lambda: cost(form(p, n, DELTA), others).backward()


def double_loop(p: torch.Tensor, n: torch.Tensor, delta: float) -> torch.Tensor:
    """The definition, a pair at a time."""
    if len(p) * len(n) > LOOP_PAIRS:
        raise NotHereError(f"more than {LOOP_PAIRS} pairs")
    zero = torch.zeros(())
    return torch.stack([sum((torch.maximum(zero, -(a - b) + delta) for b in n), zero) for a in p])


def on_batch(make: Callable[[int, int], Callable[..., torch.Tensor]], critical: int, others: int) -> Run:
    """A loss of logits, labels and index, as in a training loop."""
    torch.manual_seed(0)
    total = critical + others
    logits = torch.randn(total, 1, requires_grad=True)
    labels, index = (torch.arange(total) < critical).long(), torch.arange(total)
    loss = make(critical, others)
    return lambda: loss(logits, labels, index).backward()


def alm_loss(critical: int, others: int) -> Callable[..., torch.Tensor]:
    """Ours with all that stands around the violation: BCE, checks, multipliers."""
    loss = ALMLoss(BCELoss(), RankingConstraint(DELTA, "logit"), num_samples=critical + others, mu=MU)
    return lambda logits, labels, index: loss(logits, labels, index=index)


def libauc_loss(name: str, critical: int, others: int) -> Callable[..., torch.Tensor]:
    """One of LibAUC's losses."""
    try:
        # only the benchmark of LibAUC needs it, in an environment of its own
        from libauc import losses  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise NotHereError(f"libauc does not import: {error}") from error
    made: dict[str, Callable[[], Any]] = {
        "pairwise hinge": lambda: losses.PairwiseAUCLoss(surr_loss="hinge", hparam=DELTA),
        "one-way pAUC, DRO": lambda: losses.pAUC_DRO_Loss(data_len=critical + others),
        "one-way pAUC, CVaR": lambda: losses.pAUC_CVaR_Loss(data_len=critical + others, pos_len=critical),
    }
    loss = made[name]()
    return lambda logits, labels, index: loss(logits, labels, index=index)


METHODS: dict[str, Callable[[int, int], Run]] = {
    "ours": lambda p, n: on_sides(violation, p, n),
    "dense broadcast": lambda p, n: on_sides(dense_violation, p, n),
    "double loop": lambda p, n: on_sides(double_loop, p, n),
    "ours, whole ALMLoss": lambda p, n: on_batch(alm_loss, p, n),
    "LibAUC pairwise hinge": lambda p, n: on_batch(lambda a, b: libauc_loss("pairwise hinge", a, b), p, n),
    "LibAUC one-way pAUC, DRO": lambda p, n: on_batch(lambda a, b: libauc_loss("one-way pAUC, DRO", a, b), p, n),
    "LibAUC one-way pAUC, CVaR": lambda p, n: on_batch(lambda a, b: libauc_loss("one-way pAUC, CVaR", a, b), p, n),
}


def own_class(form: Callable[..., torch.Tensor], classes: int, critical: int, others: int) -> Run:
    """The second half of Eq. 7."""
    torch.manual_seed(0)
    p, n = torch.randn(critical, classes, requires_grad=True), torch.randn(others, classes, requires_grad=True)
    of = torch.randint(classes, (others,))
    return lambda: cost(form(p, n, of, DELTA), others).backward()


def cpu_ms(run: Run, repeats: int) -> float:
    """Mean CPU time of `repeats` runs, in ms."""
    start = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - start) / repeats * 1e3


def timed(runs: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """CPU times in ms, the methods taking turns; fewer rounds where one takes a second."""
    repeats = {
        name: max(1, min(200, int(20 / max(cpu_ms(run, 1), cpu_ms(run, 1), 1e-3)))) for name, run in runs.items()
    }
    slowest = max(cpu_ms(run, 1) for run in runs.values())
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds if slowest < 500 else max(3, rounds // 3)):
        names = list(runs)
        order = names[turn % len(names) :] + names[: turn % len(names)]
        for name in order if turn % 2 else reversed(order):  # no method always follows the same other
            taken[name].append(cpu_ms(runs[name], repeats[name]))
    return taken


def extra_memory_mb(method: str, critical: int, others: int) -> float | None:
    """Peak memory of one run in a fresh process beyond its inputs; None where the system does not say."""
    command = [sys.executable, __file__, "--memory-of", method, str(critical), str(others)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def print_memory(method: str, critical: int, others: int) -> None:
    """What the child process of `extra_memory_mb` does."""

    def memory_kb(field: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field))

    METHODS[method](4, 60)()  # loads what is loaded once
    run = METHODS[method](critical, others)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again
    before = memory_kb("VmRSS")
    run()
    print((memory_kb("VmHWM") - before) / 1024)


def compared(critical: int, others: int, rounds: int) -> dict[str, Any]:
    """Figures of all methods at a size."""
    runs: dict[str, Run] = {}
    rows: dict[str, Any] = {}
    for name, make in METHODS.items():
        try:
            run = make(critical, others)
            run()
            runs[name] = run
        except NotHereError as reason:
            rows[name] = {"skipped": str(reason)}
    for name, taken in timed(runs, rounds).items():
        rows[name] = {"ms": min(taken), "median_ms": statistics.median(taken)}
        if critical * others > LOOP_PAIRS:
            rows[name]["extra_mb"] = extra_memory_mb(name, critical, others)
    for row in rows.values():
        if "ms" in row:
            row["ratio"] = row["ms"] / rows["ours"]["ms"]
    return {"critical": critical, "others": others, "methods": {name: rows[name] for name in METHODS}}


def choices(rounds: int) -> list[dict[str, Any]]:
    """The automatic choice against the dense form."""
    found: list[dict[str, Any]] = []
    for p, n in CHOICE_SIZES:
        form = "dense" if VIOLATION_LIMIT.holds(p, n) else "sorted"
        found.append(
            {"size": [p, n], "form": form, **choice(on_sides(violation, p, n), on_sides(dense_violation, p, n), rounds)}
        )
    for c, p, n in MULTICLASS_SIZES:
        form = "dense" if own_class_dense_is_faster(c, p, n) else "sorted"
        runs = own_class(own_class_violation, c, p, n), own_class(dense_own_class_violation, c, p, n)
        found.append({"classes": c, "size": [p, n], "form": form, **choice(*runs, rounds)})
    return found


def choice(ours: Run, dense: Run, rounds: int) -> dict[str, float]:
    """Times of two, and how the first compares by its least and by its median."""
    taken = timed({"ours": ours, "dense": dense}, rounds)
    least, median = ({name: of(values) for name, values in taken.items()} for of in (min, statistics.median))
    ratios = {"over_dense": least["ours"] / least["dense"], "median_over_dense": median["ours"] / median["dense"]}
    return {"ours_ms": least["ours"], "dense_ms": least["dense"], **ratios}


def surroundings() -> dict[str, Any]:
    """What the figures hold for."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S607 - as on the path
        return done.stdout.strip()

    cpu_lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in cpu_lines if line.startswith("model name")]
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    try:
        versions["libauc"] = importlib.metadata.version("libauc")
    except importlib.metadata.PackageNotFoundError:
        versions["libauc"] = "not installed"
    paths = ("prostate_alm/losses", "benchmarks/losses.py")
    return {
        "command": "python benchmarks/losses.py",
        "commit": git("rev-parse", "--short", "HEAD") + ("+changes" if git("status", "--short", "--", *paths) else ""),
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "machine": {"cpu": names[0] if names else platform.processor(), "cores": os.cpu_count(), "threads_used": 1},
        "system": platform.system(),
        "versions": versions,
    }


def print_table(size: dict[str, Any]) -> None:
    """One size, a line a method."""
    print(f"\n{size['critical']} x {size['others']}\n{'method':28}{'ms':>11}{'median':>11}{'ratio':>9}{'extra MB':>10}")
    for name, row in size["methods"].items():
        if "skipped" in row:
            print(f"{name:28}  skipped: {row['skipped']}")
            continue
        memory = f"{row['extra_mb']:.1f}" if row.get("extra_mb") is not None else "-"
        print(f"{name:28}{row['ms']:11.3f}{row['median_ms']:11.3f}{row['ratio']:9.2f}{memory:>10}")


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "losses.json")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.memory_of:
        method, critical, others = arguments.memory_of
        print_memory(method, int(critical), int(others))
        return
    results: dict[str, Any] = {**surroundings(), "rounds": arguments.rounds, "sizes": []}
    for critical, others in SIZES:
        results["sizes"].append(compared(critical, others, arguments.rounds))
        print_table(results["sizes"][-1])
    print("\nautomatic choice / dense form (Eq. 7 where classes are given)")
    results["choices"] = choices(arguments.rounds)
    for row in results["choices"]:
        classes = f" {row['classes']} classes" if "classes" in row else ""
        ratios = f"{row['over_dense']:.2f} (medians {row['median_over_dense']:.2f})"
        print(f"{row['size'][0]} x {row['size'][1]}{classes}: {row['form']}, {row['ours_ms']:.3f} ms, {ratios}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
