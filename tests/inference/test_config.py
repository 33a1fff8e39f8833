"""The config of an ensemble is data: what could run code is refused by its exact words."""

import copy
from pathlib import Path

import pytest
import yaml

from prostate_alm.errors import EnsembleError
from prostate_alm.inference.config import (
    ALLOWED_EXPRESSIONS,
    EXPRESSION_MARKS,
    LARGEST_BYTES,
    read_inference_config,
    refuse_code,
)
from prostate_alm.parcel import INFERENCE_CONFIG

SHIPPED = Path(__file__).parents[2] / "bundles" / "prostate_dce" / INFERENCE_CONFIG


@pytest.fixture
def config(shared_ensemble):
    return yaml.safe_load((shared_ensemble / INFERENCE_CONFIG).read_bytes())


def read(config):
    return read_inference_config(yaml.safe_dump(config).encode())


def test_the_written_config_is_read(config):
    read_config = read(config)
    assert read_config.network_def.members == 3
    assert read_config.network_def.network == config["network_def"]["network"]
    assert read_config.study_to_image.profile == "tiny"


def test_the_shipped_config_passes():
    refuse_code(yaml.safe_load(SHIPPED.read_bytes()))


def test_the_list_allows_nothing_that_the_shipped_config_does_not_need():
    def strings(value):
        if isinstance(value, dict):
            return [text for item in value.values() for text in strings(item)]
        if isinstance(value, list):
            return [text for item in value for text in strings(item)]
        return [value] if isinstance(value, str) else []

    shipped = {text for text in strings(yaml.safe_load(SHIPPED.read_bytes())) if set(text) & set(EXPRESSION_MARKS)}
    assert shipped == ALLOWED_EXPRESSIONS


@pytest.mark.parametrize(
    "expression",
    [
        "$import os",
        "$__import__('os').system('x')",
        "$import torch; import os",
        " $import torch",
        "$import torch ",
        "@network#weight",
        "%configs/other.yaml",
        "configs/other.yaml%run",
        "harmless $(x)",
    ],
)
@pytest.mark.parametrize("place", ["value", "list", "nested", "key"])
def test_any_other_expression_is_refused_wherever_it_stands(config, expression, place):
    match place:
        case "value":
            config["device"] = expression
        case "list":
            config["initialize"].append(expression)
        case "nested":
            config["evaluator"]["postprocessing"] = {"transforms": [{"keys": [expression]}]}
        case "key":
            config[expression] = 1
    with pytest.raises(EnsembleError, match="not allowed"):
        read(config)


@pytest.mark.parametrize(
    "target", ["os.system", "builtins.eval", "monai.data.DataLoader2", "prostate_alm.networks.ensemble", ["os.system"]]
)
def test_any_other_component_is_refused(config, target):
    config["dataset"]["_target_"] = target
    with pytest.raises(EnsembleError, match=r"not allowed|no name"):
        read(config)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("network_def", {"_target_": "prostate_alm.networks.two_path.TwoPathNet"}),
        ("network_def", {"members": 0}),
        ("network_def", {"members": "3"}),
        ("network_def", {"network": {"widths": ["2"]}}),
        ("study_to_image", {"profile": "huge"}),
        ("study_to_image", {"box_mm": [128.0, 128.0]}),
        ("study_to_image", {"box_mm": [128.0, 128.0, float("nan")]}),
        ("study_to_image", {"extra": 1}),
        ("study_to_image", {"version": "1"}),
    ],
)
def test_a_config_that_does_not_describe_an_ensemble_is_refused_by_field(config, part, change):
    changed = copy.deepcopy(config)
    changed[part] |= change
    with pytest.raises(EnsembleError, match=rf"{part}\.{next(iter(change))}"):
        read(changed)


@pytest.mark.parametrize("part", ["network_def", "study_to_image"])
def test_both_parts_are_needed(config, part):
    del config[part]
    with pytest.raises(EnsembleError, match=part):
        read(config)


@pytest.mark.parametrize(
    "content",
    [
        b"a: [",
        b"\xff\xfe\x00",
        b"!!python/object/apply:os.system ['x']",
        b"- 1\n- 2",
        b"",
        b"when: 2020-99-99",
        b"[" * 5000,
        b"a" * (LARGEST_BYTES + 1),
    ],
)
def test_what_is_no_config_is_refused(content):
    with pytest.raises(EnsembleError, match=r"configs/inference\.yaml"):
        read_inference_config(content)


def test_anchors_can_neither_loop_nor_multiply():
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 40))
    bomb = f"l0: &l0 [x, x]\n{levels}\nself: &self [*self]\n"
    with pytest.raises(EnsembleError, match="network_def"):
        read_inference_config(bomb.encode())
