"""The tables of docs/import.md are those of the published run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PUBLISHED = ROOT / "benchmarks/results/import_corpus.json"
SECTION = re.compile(r"^## What was tried: a synthetic corpus$(.*?)^## ", re.DOTALL | re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)


@pytest.fixture
def published() -> dict[str, Any]:
    if not PUBLISHED.is_file():
        pytest.skip("no run of `make soak` is published yet")
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))


def test_the_tables_are_those_of_the_published_run(published: dict[str, Any]) -> None:
    section = SECTION.search((ROOT / "docs/import.md").read_text(encoding="utf-8"))
    assert section is not None
    rows = {name: [int(count) for count in counts] for name, *counts in ROW.findall(section[1])}
    tables = [published[table] for table in ("by_layout", "by_vendor", "by_fault")]
    assert rows == {name: list(counts.values()) for table in tables for name, counts in table.items()}
    assert published["commit"][:7] in section[1]


def test_nothing_is_wrong_in_the_published_run(published: dict[str, Any]) -> None:
    assert published["cases"] >= 300
    assert not published["commit"].endswith("+changes")
    assert published["wrong"] == []
    assert published["outcomes"]["wrong"] == 0
    assert published["cohort_import"]["wrong"] == {}
