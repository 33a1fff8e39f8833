"""Words for every code, gate and figure."""

import pytest

from prostate_alm.errors import Reason
from prostate_alm.evaluation.operating_point import choose_operating_point
from prostate_alm.report.triage import QualityAnswer
from prostate_alm.service.page import wording
from prostate_alm.service.page.gates import gate_rows
from prostate_alm.service.page.reasons import EXPLANATIONS


def test_every_reason_is_explained_in_sentences():
    assert set(EXPLANATIONS) == set(Reason)
    for reason, explanation in EXPLANATIONS.items():
        assert explanation.title, reason
        assert not explanation.title.endswith("."), reason
        for text in (explanation.sentence, explanation.advice):
            assert text[0].isupper(), reason
            assert text.endswith("."), reason
            assert "_" not in text, reason


def test_no_two_reasons_read_the_same():
    titles = [explanation.title for explanation in EXPLANATIONS.values()]
    assert len(set(titles)) == len(titles)


def test_nothing_that_was_drawn_or_silenced_tells_of_the_patient():
    for reason in (Reason.SILENT_MODE, Reason.RANDOM_AUDIT):
        text = f"{EXPLANATIONS[reason].sentence} {EXPLANATIONS[reason].advice}".lower()
        assert not any(word in text for word in ("not needed", "negative", "threshold", "score")), reason


@pytest.mark.parametrize(
    ("positives", "false_negatives", "sentence"),
    [
        (39, 0, "0 of 39 missed in validation; the true miss rate may be up to 7.4 %."),
        (20, 0, "0 of 20 missed in validation; the true miss rate may be up to 14 %."),  # 1 - 0.05**(1/20): 13.91 %
        (39, 1, "1 of 39 missed in validation; the true miss rate may be up to 11.6 %."),  # Beta(2, 38): 11.595 %
        (3, 0, "0 of 3 missed in validation; the true miss rate may be up to 63.2 %."),  # 1 - 0.05 ** (1 / 3)
    ],
)
def test_the_evidence_counts_misses_and_never_rounds_a_risk_down(positives, false_negatives, sentence):
    scores, labels = [*range(positives), -1.0], [1] * positives + [0]
    assert wording.evidence(choose_operating_point(scores, labels, false_negatives=false_negatives)) == sentence


def gate(reason, value, limit, passed):
    return QualityAnswer(reason=reason, value=value, limit=limit, passed=passed)


def test_gates_of_a_kind_share_a_row_and_failed_ones_come_first():
    rows = gate_rows(
        [
            gate(Reason.COVERAGE_LOW, 0.92, 0.6, True),
            gate(Reason.COVERAGE_LOW, 1.0, 0.8, True),
            gate(Reason.MOTION_SUSPECTED, 0.2, 0.14, False),
        ]
    )
    assert [row.passed for row in rows] == [False, True]
    assert rows[0].figures == ("0.2 (at most 0.14)",)
    assert rows[1].figures == ("92 % (at least 60 %)", "100 % (at least 80 %)")


def test_a_kind_passes_only_when_all_of_it_do():
    (row,) = gate_rows([gate(Reason.VOLUME_CONSTANT, 0.4, 1e-3, True), gate(Reason.VOLUME_CONSTANT, 0.0, 1e-3, False)])
    assert not row.passed


def test_a_figure_that_is_no_number_says_so():
    (row,) = gate_rows([gate(Reason.MOTION_SUSPECTED, None, 0.14, False)])
    assert row.figures == ("not finite (limit 0.14)",)


def test_contrast_is_answered_by_a_word():
    assert gate_rows([gate(Reason.CONTRAST_GIVEN, 1.0, 0.5, False)])[0].figures == ("yes",)
    assert gate_rows([gate(Reason.CONTRAST_GIVEN, 0.0, 0.5, True)])[0].figures == ("no",)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Doe^John", "Doe, John"),
        ("Doe", "Doe"),
        ("^John", "John"),
        ("Yamada^Tarou=山田^太郎", "Yamada, Tarou"),
        ("", ""),
    ],
)
def test_names_read_as_people_write_them(written, read):
    assert wording.name(written) == read
