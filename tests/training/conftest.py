"""Members of tiny networks that train in this process, in a second or two."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from monai.bundle.workflows import ConfigWorkflow

BUNDLE = Path(__file__).parents[2] / "bundles" / "prostate_dce"


@pytest.fixture
def member_workflow(cohort: Path) -> Callable[..., ConfigWorkflow]:
    """Make the workflow of a member that writes to a folder: `member_workflow(output, **settings)`."""

    def make(output: Path, **settings: Any) -> ConfigWorkflow:
        configs = BUNDLE / "configs"
        defaults: dict[str, Any] = {
            "dataset_dir": str(cohort.parent),
            "output_dir": str(output),
            "cache_dir": str(cohort.parent / "cache"),
            "profile": "tiny",
            "box_mm": [128.0, 128.0, 60.0],
            "repeats": 1,
            "folds": 3,
            "max_epochs": 4,
            "batch_size": 4,  # three batches an epoch
            "mu": 0.5,
            "mu_margin": 0.0,
            "network_def#widths": [4, 4],
        }
        workflow = ConfigWorkflow(
            config_file=str(configs / "train.yaml"),
            meta_file=str(configs / "metadata.json"),
            logging_file=False,
            workflow_type="train",
            **(defaults | settings),
        )
        workflow.initialize()
        return workflow

    return make
