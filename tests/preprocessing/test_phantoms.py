"""Phantoms are the same on every machine and in every release, and fill all channels."""

import hashlib

import numpy as np
import torch

from prostate_alm.preprocessing import Preprocessing
from prostate_alm.preprocessing.phantoms import golden_studies
from prostate_alm.study import Study

# ensembles hold the logits of these very voxels: a phantom that is to change gets a new name
CONTENT = {
    "waves": "03f217771dc067bb5d8568b1b30e1fb517b9f263dd31a5e8bf022ed063795784",
    "oblique": "b442e27217feb8046c077218d5a1c51f09733a1daf2c4793e710cc905251912b",
}


def content_of(study: Study) -> str:
    digest = hashlib.sha256()
    for volume in (study.t2, *(study.dwi[b] for b in sorted(study.dwi)), study.adc):
        digest.update(np.ascontiguousarray(volume.data, "<f4").tobytes())
        digest.update(np.round(volume.geometry.affine, 9).astype("<f8").tobytes())
    return digest.hexdigest()


def test_phantoms_are_the_same_everywhere():
    assert {name: content_of(study) for name, study in golden_studies().items()} == CONTENT


def test_voxels_are_whole_numbers():
    for study in golden_studies().values():
        for volume in (study.t2, *study.dwi.values(), study.adc):
            assert np.array_equal(volume.data, np.round(volume.data))
            assert volume.data.max() < 2**16


def test_every_channel_of_every_phantom_is_an_image_of_its_own():
    channels = [channel for study in golden_studies().values() for channel in Preprocessing("tiny")(study).image]
    assert len(channels) == 6
    for number, channel in enumerate(channels):
        assert channel.std() > 0.1
        assert all((channel - other).abs().max() > 0.1 for other in channels[:number])
    assert all(torch.isfinite(channel).all() for channel in channels)
