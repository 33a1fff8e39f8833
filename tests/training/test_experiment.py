"""An experiment file says what flags say; flags win, and what can't be used is named by its field."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from prostate_alm.errors import ArgumentError
from prostate_alm.training.bundles import find_bundle
from prostate_alm.training.experiment import Experiment, read_experiment, write_experiment


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An experiment in a folder of its own."""
    path = tmp_path / "experiments" / "focal.yaml"
    path.parent.mkdir()
    content: dict[str, Any] = {
        "datalist": "../cohort/datalist.json", "members": 4, "folds": 2, "loss": "s-fl", "profile": "tiny", "epochs": 3,
        "settings": {"mu": 0.003, "loss_parameter": 2.0}, "operating_points": ["1-fn"], "tracking": "none",
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_file_says_what_flags_say(file: Path, tmp_path: Path) -> None:
    cohort, out = tmp_path / "cohort" / "datalist.json", tmp_path / "run"
    flags = {
        "datalist": cohort, "out": out, "members": 4, "folds": 2, "loss": "s-fl", "profile": "tiny", "epochs": 3,
        "settings": {"mu": 0.003, "loss_parameter": 2.0}, "tracking": "none",
    }  # fmt: skip
    said, flagged = read_experiment(file, {"out": out}).run(), read_experiment(None, flags).run()
    assert said.datalist.resolve() == flagged.datalist  # relative to the file's folder
    assert (said.members, said.repeats, said.settings) == (4, 2, flagged.settings)
    assert said.settings == {
        "profile": "tiny", "alm": True, "max_epochs": 3, "loss_name": "s-fl", "loss_parameter": 2.0, "mu": 0.003,
        "tracker": "none",
    }  # fmt: skip
    assert said.bundle == find_bundle("prostate_dce")


def test_flags_win_and_settings_are_joined(file: Path) -> None:
    flags = {"epochs": 5, "alm": False, "seed": None, "settings": {"mu": 0.1, "rho": 3.0}}
    experiment = read_experiment(file, flags)
    assert (experiment.epochs, experiment.alm, experiment.seed, experiment.loss) == (5, False, 0, "s-fl")
    assert experiment.settings == {"mu": 0.1, "rho": 3.0, "loss_parameter": 2.0}


def test_what_is_written_is_read(file: Path, tmp_path: Path) -> None:
    experiment = read_experiment(file, {"settings": {"mu": 1e-7}})
    path = tmp_path / "best.yaml"
    write_experiment(experiment, path, comment="two\nlines")
    assert path.read_text().startswith("# two\n# lines\n")
    found = read_experiment(path, {})
    assert found.datalist.resolve() == experiment.datalist.resolve()
    assert found.settings["mu"] == 1e-7  # which YAML reads as a string where it is written 1e-7
    assert found == experiment.model_copy(update={"datalist": found.datalist})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"memers": 3}, "`memers`: Extra inputs"),
        ({"members": 1}, "`members`: Input should be greater than or equal to 2"),
        ({"loss": "ce"}, "`loss`: expected one of bce, s-ml"),
        ({"settings": {"learnng_rate": 0.1}}, "the bundle has no `learnng_rate`. Available: .*learning_rate"),
        ({"settings": {"max_epochs": 3}}, "say `max_epochs` by the field `epochs`"),
        ({"operating_points": ["nonsense"]}, "`operating_points`"),
        ({"search": {"mu": []}}, "`search.mu`"),
        ({"search": {"ranges": {"mu": [1.0, 0.1]}}}, "low < high"),
        ({"bundle": "nowhere"}, "`nowhere` is neither a bundle folder nor a shipped bundle"),
    ],
)
def test_what_can_not_be_used_is_named_by_its_field(file: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        read_experiment(file, change)
    assert "focal.yaml" in str(caught.value)


def test_a_nested_setting_of_the_bundle_is_none_of_its_own(file: Path) -> None:
    assert read_experiment(file, {"settings": {"network_def#dropout": 0.5}}).settings["network_def#dropout"] == 0.5


@pytest.mark.parametrize(("content", "message"), [("- 1\n", "is no experiment"), ("a: [", "is no YAML")])
def test_a_file_that_is_no_experiment_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(ArgumentError, match=message):
        read_experiment(tmp_path / "x.yaml", {})
    with pytest.raises(ArgumentError, match="can't be read"):
        read_experiment(tmp_path / "nowhere.yaml", {})


@pytest.mark.parametrize(("members", "folds", "drawn"), [(10, None, 5), (3, None, 3), (4, 2, 2)])
def test_ten_members_are_two_repeats_of_five_folds(members: int, folds: int | None, drawn: int) -> None:
    assert Experiment(datalist=Path("d.json"), members=members, folds=folds).drawn_folds == drawn


def test_without_a_folder_nothing_runs(file: Path) -> None:
    with pytest.raises(ArgumentError, match="give `--out DIR`"):
        read_experiment(file, {}).run()
