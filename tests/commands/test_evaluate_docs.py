"""The commands of docs/evaluate.md, one after the other, on tiny cohorts; and its figures."""

import json
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from prostate_alm.cli import app
from prostate_alm.evaluation.intervals import miss_rate_upper_bound
from prostate_alm.evaluation.operating_rules import parse_rule
from prostate_alm.inference.occlusion import cut
from prostate_alm.preprocessing.grid import box_shape
from prostate_alm.preprocessing.prepare import DEFAULT_BOX_MM, SPACING_MM

TEXT = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line) for line in re.findall(r"^prostate-alm (.*)$", TEXT, re.MULTILINE)]


def datalist(source: Path, folder: Path, *, test: Sequence[int], training: Sequence[int] = ()) -> None:
    """A datalist of some of the cohort's studies."""
    content = json.loads(source.read_text())
    everyone = [*content["training"], *content["test"]]
    for entry in everyone:
        entry |= {name: str(source.parent / entry[name]) for name in ("t2", "dwi", "adc")}
    sides = {"training": [everyone[i] for i in training], "test": [everyone[i] for i in test]}
    folder.mkdir()
    (folder / "datalist.json").write_text(json.dumps({"schema_version": 1, "name": folder.name, **sides}))


def test_every_command_runs(
    cohort: Path, ensemble_factory: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datalist(cohort, tmp_path / "cohort", test=[0, 1, 2, 3])
    datalist(cohort, tmp_path / "site", test=[4, 5, 6, 7, 8, 9, 12])
    datalist(cohort, tmp_path / "unseen", test=[18, 19, 20, 21])
    for name in ("run", "other"):
        (tmp_path / name).mkdir()
        ensemble_factory(tmp_path / name / "ensemble", threshold=float(len(name)))
    monkeypatch.chdir(tmp_path)
    assert [command[0] for command in COMMANDS] == ["evaluate"] * 3 + ["recalibrate", "evaluate"]
    for command in COMMANDS:
        fewer = ["--cases", "0"] if command[0] == "evaluate" else []
        result = CliRunner().invoke(app, [*command, *fewer, "--device", "cpu"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
    report: dict[str, Any] = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert report["comparison"]["studies"] == 4
    site: dict[str, Any] = json.loads((tmp_path / "site-report" / "metrics.json").read_text())
    assert site["ensemble"]["version"].endswith("+recalibrated.1")
    assert [one["point"]["name"] for one in site["fixed_thresholds"]] == ["conformal-25"]
    named = re.findall(r"^\| `report/([\w.]+)/?` \|", TEXT, re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in (tmp_path / "report").iterdir())


def test_the_figures_of_the_page_are_right() -> None:
    assert f"{100 * miss_rate_upper_bound(0, 13):.1f} %" == "20.6 %"
    assert "up to 20.6 % (95 %)" in TEXT
    for rule, needed in re.findall(r"(\d+) for `([^`]+)`", TEXT.replace("\n", " ")):
        assert parse_rule(needed).needed == int(rule)
    patches = {len(list(cut(box_shape(DEFAULT_BOX_MM, steps), steps))) for steps in SPACING_MM.values()}
    assert {2 * (1 + count) for count in patches} == {152}
