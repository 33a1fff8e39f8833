import io
import os
from pathlib import Path

import numpy as np
import pytest
import typer
from rich.console import Console

from prostate_alm.commands.cohort_inspect import inspect
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
    inspect(folder, console)
    lines = console.file.getvalue().splitlines()
    assert any(line.split()[0] == "T2" and "8 x 9 x 10" in line and "0.5 x 0.5 x 3" in line for line in lines)
    assert any(line.startswith("DWI b 800") and "2 x 2 x 3.6" in line for line in lines)
    assert "flags: none" in lines[-1]


def test_a_fitted_adc_is_marked(folder, console):
    (folder / "adc.nii.gz").unlink()
    inspect(folder, console)
    assert "ADC, fitted" in console.file.getvalue()
    assert "flags: ADC_COMPUTED" in console.file.getvalue()


@pytest.mark.parametrize("name", ["t2.nii.gz", "dwi.nii.gz"])
def test_a_refusal_prints_the_reason_and_exits_with_1(folder, console, name):
    (folder / name).unlink()
    with pytest.raises(typer.Exit) as caught:
        inspect(folder, console)
    assert caught.value.exit_code == 1
    assert f"{name[: name.index('.')].upper()}_MISSING" in console.file.getvalue()


def test_a_refusal_that_only_the_pixels_show_exits_with_1_too(folder, console):
    path = folder / "t2.nii.gz"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(typer.Exit) as caught:
        inspect(folder, console)
    assert caught.value.exit_code == 1
    assert "INPUT_UNREADABLE" in console.file.getvalue()


def test_the_real_study_is_printed_whole_in_80_columns(console):
    data = os.environ.get("PROSTATE_ALM_DATA")
    if not data:
        pytest.skip("PROSTATE_ALM_DATA does not name the folder with prostatex/ProstateX-0000")
    inspect(Path(data) / "prostatex", console)
    text = console.file.getvalue()
    for number in ("221.727", "1118", "33.742", "21.074", "15.226", "487.185", "3265", "-45.69, -112.72, -16.95"):
        assert number in text
