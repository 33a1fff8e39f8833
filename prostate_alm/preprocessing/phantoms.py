"""Studies that code builds alike everywhere: what a machine must score as the machine of the training did."""

import numpy as np

from prostate_alm.study import Geometry, Study, Volume


def golden_studies() -> dict[str, Study]:
    """Built studies in the size of a patient, by name."""
    return {"waves": _waves()}


def _waves() -> Study:
    """Waves, so that no volume is constant."""
    geometry = Geometry((64, 64, 20), np.diag([2.5, 2.5, 4.0, 1.0]))
    x, y, z = np.indices(geometry.shape, dtype=np.float32)
    waves = np.sin(x / 5) + np.cos(y / 7) + np.sin(z / 3)
    dwi = {b: Volume(200 * np.exp(-b * 1.2e-3) * (4 + waves), geometry) for b in (50.0, 800.0)}
    return Study("phantom", Volume(400 + 80 * waves, geometry), dwi, Volume(1200 + 100 * waves, geometry))
