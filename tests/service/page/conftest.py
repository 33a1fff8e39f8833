"""Jobs and images as the page gets them."""

from datetime import UTC, datetime

import numpy as np
import pytest

from prostate_alm.service.records import Identity, JobRecord
from prostate_alm.service.slices import ModelImage
from prostate_alm.service.tables import JobKind, JobState


@pytest.fixture
def job():
    """Make a job's record; by default an answered study of a patient whose images are kept."""

    def make(shown=None, **changes):
        values = {
            "id": "0123456789abcdef" * 2,
            "kind": JobKind.TRIAGE,
            "source": "upload",
            "state": JobState.RUNNING if shown is None else JobState.DONE,
            "received": datetime(2026, 11, 28, 16, 5, tzinfo=UTC),
            "content_sha256": "0" * 64,
            "model_sha256": "ab" * 32,
            "operating_point": "0-fn",
            "answered_at": None if shown is None else datetime(2026, 11, 28, 16, 6, tzinfo=UTC),
            "shown": shown,
            "recorded": shown,
            "silent": False,
            "audited": False,
            "seconds": {},
            "identity": Identity("Doe^John", "P-17", "A-4", "1.2.3", "20261128"),
            "pixels": True,
            "fault": None,
            "explains": None,
            "supersedes": None,
        }
        return JobRecord(**values | changes)

    return make


@pytest.fixture
def image():
    """Five columns, four rows, three slices of noise; voxels of 1 x 2 x 3 mm."""
    values = np.random.default_rng(0).normal(size=(3, 5, 4, 3)).astype(np.float32)
    return ModelImage(values, (1.0, 2.0, 3.0), 800.0)
