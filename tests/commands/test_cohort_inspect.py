import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from prostate_alm.cli import app
from prostate_alm.commands.cohort_inspect import inspect
from prostate_alm.datasets.synthetic.corpus import CasePlan, write_case
from prostate_alm.datasets.synthetic.layouts import Layout
from prostate_alm.errors import ArgumentError
from prostate_alm.readers import SeriesChoice
from prostate_alm.readers.nifti import write_nifti_study
from prostate_alm.study import Geometry, Study, Volume


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=80)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)

    def volume(shape, spacing):
        return Volume(rng.uniform(100, 200, shape).astype(np.float32), Geometry(shape, np.diag([*spacing, 1.0])))

    dwi = {b: volume((5, 6, 7), (2, 2, 3.6)) for b in (50.0, 800.0)}
    write_nifti_study(Study("k", volume((8, 9, 10), (0.5, 0.5, 3)), dwi, dwi[50.0]), tmp_path)
    return tmp_path


def test_every_volume_is_printed_with_its_numbers(folder, console):
    inspect(folder, console=console)
    lines = console.file.getvalue().splitlines()
    assert any(line.split()[0] == "T2" and "8 x 9 x 10" in line and "0.5 x 0.5 x 3" in line for line in lines)
    assert any(line.startswith("DWI b 800") and "2 x 2 x 3.6" in line for line in lines)
    assert "flags: none" in lines[-1]


def test_a_fitted_adc_is_marked(folder, console):
    (folder / "adc.nii.gz").unlink()
    inspect(folder, console=console)
    assert "ADC, fitted" in console.file.getvalue()
    assert "flags: ADC_COMPUTED" in console.file.getvalue()


@pytest.mark.parametrize("name", ["t2.nii.gz", "dwi.nii.gz"])
def test_a_refusal_prints_the_reason_and_exits_with_1(folder, console, name):
    (folder / name).unlink()
    with pytest.raises(typer.Exit) as caught:
        inspect(folder, console=console)
    assert caught.value.exit_code == 1
    assert f"{name[: name.index('.')].upper()}_MISSING" in console.file.getvalue()


def test_a_refusal_that_only_the_pixels_show_exits_with_1_too(folder, console):
    path = folder / "t2.nii.gz"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(typer.Exit) as caught:
        inspect(folder, console=console)
    assert caught.value.exit_code == 1
    assert "INPUT_UNREADABLE" in console.file.getvalue()


def test_the_real_study_is_printed_whole_in_80_columns(console):
    data = os.environ.get("PROSTATE_ALM_DATA")
    if not data:
        pytest.skip("PROSTATE_ALM_DATA does not name the folder with prostatex/ProstateX-0000")
    inspect(Path(data) / "prostatex", console=console)
    text = console.file.getvalue()
    for number in ("221.727", "1118", "33.742", "21.074", "15.226", "487.185", "3265", "-45.69, -112.72, -16.95"):
        assert number in text


@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    """A study with two T2 series of which the later is read, and a montage's worth of voxels."""
    return write_case(CasePlan(0, 3, Layout.REPEATED_T2, "siemens"), tmp_path_factory.mktemp("repeated"))


def text_of(console: Any) -> str:
    return console.file.getvalue()


def row(console, beginning):
    return next(line for line in text_of(console).splitlines() if line.startswith(beginning))


def test_a_choice_can_be_tried_and_is_said_in_the_words_of_the_label_table(repeated, console):
    (taken,) = repeated.series["t2"]
    inspect(repeated.path, console=console)
    assert "yes" in row(console, f"{taken} ")
    other = next(
        line.split()[0] for line in console.file.getvalue().splitlines() if "axial T2" in line and "yes" not in line
    )
    again = Console(file=io.StringIO(), width=80)
    inspect(repeated.path, series=SeriesChoice(t2=other), console=again)
    assert "yes" in row(again, f"{other} ")
    assert "yes" not in row(again, f"{taken} ")
    assert f"write into the label table: t2_series {other}\n" in text_of(again)
    assert "flags: SERIES_NAMED_BY_HAND" in text_of(again)


def test_a_name_that_fits_no_series_is_refused(repeated, console):
    with pytest.raises(typer.Exit):
        inspect(repeated.path, series=SeriesChoice(adc="99"), console=console)
    assert "SERIES_NOT_FOUND" in console.file.getvalue()


def test_the_picture_of_the_study_is_drawn(repeated, console, tmp_path):
    inspect(repeated.path, montage=tmp_path / "study.png", console=console)
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ArgumentError, match="folder"):
        inspect(repeated.path, montage=tmp_path / "none" / "study.png", console=console)


def test_a_mixed_tree_is_listed_and_one_of_its_studies_can_be_seen(tmp_path, console):
    case = write_case(CasePlan(0, 3, Layout.MIXED_TREE, "philips"), tmp_path)
    with pytest.raises(typer.Exit):
        inspect(case.path, console=console)
    text = console.file.getvalue()
    assert "MULTIPLE_PATIENTS" in text
    listed = text[text.index("Studies") :].splitlines()[2:]
    numbers = [line.split()[0] for line in listed if line.split() and line.split()[0].isdigit()]
    assert numbers == [str(number + 1) for number in range(len(case.studies))]
    one = Console(file=io.StringIO(), width=80)
    inspect(case.path, study=1, console=one)
    assert "flags:" in text_of(one)
    with pytest.raises(ArgumentError, match=f"1 to {len(case.studies)}, got 9"):
        inspect(case.path, study=9, console=one)


def test_the_options_of_the_command_reach_the_choice(repeated):
    found = CliRunner().invoke(app, ["cohort", "inspect", str(repeated.path), "--adc", "99"])
    assert found.exit_code == 1
    assert "`adc` names a series of number 99" in found.stdout
