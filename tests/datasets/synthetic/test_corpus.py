"""Properties over a corpus of layouts, vendors and faults: the right study or a refusal for the right reason."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import RLELossless

from prostate_alm.datasets.synthetic.corpus import Case, CasePlan, generate_corpus, plan_corpus, write_case
from prostate_alm.datasets.synthetic.exports import lossless_syntaxes
from prostate_alm.datasets.synthetic.faults import RULES, Fault
from prostate_alm.datasets.synthetic.layouts import Layout
from prostate_alm.datasets.synthetic.vendors import VENDORS
from prostate_alm.datasets.synthetic.verdict import Outcome, judge
from prostate_alm.errors import ArgumentError, Reason

SAMPLE = 18


def sampled(number: int, seed: int) -> list[CasePlan]:
    """Some cases of a large corpus, a third of them without a fault."""
    plans, rng = plan_corpus(360, seed), np.random.default_rng(seed)
    clean = [plan for plan in plans if plan.fault is None]
    faulty = [plan for plan in plans if plan.fault is not None]
    return [*_drawn(clean, number // 3, rng), *_drawn(faulty, number - number // 3, rng)]


def _drawn(plans: Sequence[CasePlan], number: int, rng: np.random.Generator) -> list[CasePlan]:
    return [plans[int(place)] for place in np.sort(rng.permutation(len(plans))[:number])]


def named(plan: CasePlan) -> str:
    return f"{plan.number}-{plan.layout.name}-{plan.vendor}-{plan.fault.name if plan.fault else 'clean'}"


@pytest.mark.parametrize("plan", sampled(SAMPLE, 1), ids=named)
def test_a_case_gives_the_right_study_or_a_refusal_for_the_right_reason(plan: CasePlan, tmp_path: Path) -> None:
    judgement = judge(write_case(plan, tmp_path))
    assert judgement.outcome is not Outcome.WRONG, judgement.problem
    if plan.fault is None:
        assert judgement.outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name)
def test_what_comes_of_a_fault_is_what_its_rule_says(fault: Fault, tmp_path: Path) -> None:
    """In the plainest layout it can happen in; the corpus has the others."""
    layouts = RULES[fault].layouts
    layout = Layout.MULTI_B if Layout.MULTI_B in layouts else min(layouts)
    place = list(Fault).index(fault)
    plan = CasePlan(place, 8, layout, VENDORS[place % len(VENDORS)].name, fault)
    case, clean = write_case(plan, tmp_path), write_case(replace(plan, fault=None), tmp_path / "clean")
    assert contents(case) != contents(clean)  # a fault that does nothing would be read right
    judgement = judge(case)
    assert judgement.outcome is not Outcome.WRONG, judgement.problem
    if not RULES[fault].readable:
        assert judgement.reason in RULES[fault].reasons
    if not RULES[fault].reasons:
        assert judgement.outcome is Outcome.ACCEPTED


def contents(case: Case) -> dict[Path, bytes]:
    files = (path for path in case.path.rglob("*") if path.is_file())
    return {path.relative_to(case.path): path.read_bytes() for path in files}


def test_every_layout_of_every_vendor_comes_without_a_fault_and_every_fault_comes() -> None:
    plans = plan_corpus(len(Layout) * len(VENDORS) + len(Fault), 1)
    clean = {(plan.layout, plan.vendor) for plan in plans if plan.fault is None}
    assert clean == {(layout, vendor.name) for layout in Layout for vendor in VENDORS}
    assert {plan.fault for plan in plans if plan.fault} == set(Fault) == set(RULES)
    assert all(plan.layout in RULES[plan.fault].layouts for plan in plans if plan.fault)


@pytest.mark.parametrize("place", range(4))
def test_each_lossless_syntax_is_written_and_read_back(place: int, tmp_path: Path) -> None:
    case = write_case(CasePlan(place, 6, Layout.COMPRESSED, "ge"), tmp_path)
    syntaxes = {dcmread(path).file_meta.TransferSyntaxUID for path in case.path.iterdir()}
    (expected,) = syntaxes - {RLELossless} or {RLELossless}  # images too small for JPEG 2000 are run-length encoded
    assert expected == lossless_syntaxes()[place]
    assert judge(case).outcome is Outcome.ACCEPTED


def test_a_larger_corpus_begins_with_the_smaller_one() -> None:
    assert plan_corpus(200, 3)[:90] == plan_corpus(90, 3)
    assert plan_corpus(120, 3)[72:] != plan_corpus(120, 4)[72:]


def test_a_case_is_written_the_same_twice(tmp_path: Path) -> None:
    plan = CasePlan(7, 2, Layout.MULTI_B, "siemens", Fault.SLICE_DOUBLED)
    first, second = write_case(plan, tmp_path / "a"), write_case(plan, tmp_path / "b")
    names = sorted(path.name for path in first.path.iterdir())
    assert names == sorted(path.name for path in second.path.iterdir())
    assert all((first.path / name).read_bytes() == (second.path / name).read_bytes() for name in names)


def test_generating_gives_each_case_its_own_place(tmp_path: Path) -> None:
    cases = generate_corpus(tmp_path, 2, 9)
    assert [case.plan for case in cases] == plan_corpus(2, 9)
    assert all(case.path.parent == tmp_path and case.path.is_dir() for case in cases)


@pytest.mark.parametrize(("number", "seed"), [(-1, 0), (1, -1)])
def test_a_corpus_of_negative_size_or_seed_is_refused(number: int, seed: int) -> None:
    with pytest.raises(ArgumentError, match="at least 0"):
        plan_corpus(number, seed)


def test_the_judge_calls_another_study_wrong(tmp_path: Path) -> None:
    one, other = (write_case(CasePlan(number, 4, Layout.MULTI_B, "siemens"), tmp_path) for number in (1, 2))
    swapped = Case(one.plan, other.path, one.studies, one.series, one.reasons)
    assert judge(one).outcome is Outcome.ACCEPTED
    judgement = judge(swapped)
    assert judgement.outcome is Outcome.WRONG
    assert "T2 lies elsewhere" in judgement.problem


def test_the_judge_calls_a_refusal_for_another_reason_wrong_and_a_study_that_is_none(tmp_path: Path) -> None:
    case = write_case(CasePlan(5, 4, Layout.MULTI_B, "ge", Fault.NO_T2), tmp_path)
    assert judge(case).outcome is Outcome.REFUSED
    other = Case(case.plan, case.path, (), case.series, frozenset({Reason.DWI_MISSING}))
    assert "T2_MISSING" in judge(other).problem
    clean = write_case(CasePlan(6, 4, Layout.MULTI_B, "ge"), tmp_path)
    refused = Case(clean.plan, clean.path, (), clean.series, frozenset({Reason.T2_MISSING}))
    assert judge(refused).problem == "accepted; expected T2_MISSING"


def test_of_a_mixed_tree_each_study_has_to_be_found(tmp_path: Path) -> None:
    case = write_case(CasePlan(3, 4, Layout.MIXED_TREE, "ge"), tmp_path)
    assert judge(case).outcome is Outcome.ACCEPTED
    first, second, _ = case.studies
    for studies in ((first, second), (first, first, second)):  # one too many in the tree, one that is not there
        other = Case(case.plan, case.path, studies, case.series, case.reasons)
        assert judge(other).outcome is Outcome.WRONG
