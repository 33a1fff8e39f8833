"""The folder is this service's alone: closed to other users, and to a second service."""

import pytest

from prostate_alm.errors import ArgumentError
from prostate_alm.service.storage import Storage


def test_a_folder_that_was_open_to_others_is_closed(tmp_path):
    tmp_path.chmod(0o755)
    Storage(tmp_path).open()
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())


def test_a_second_service_is_kept_out(tmp_path):
    with Storage(tmp_path).locked(), pytest.raises(ArgumentError, match="another service"), Storage(tmp_path).locked():
        pass
    with Storage(tmp_path).locked():
        pass


def test_the_secret_of_audits_is_made_once_and_for_nobody_else(tmp_path):
    storage = Storage(tmp_path)
    storage.open()
    secret = storage.audit_secret()
    assert len(secret) == 32
    assert Storage(tmp_path).audit_secret() == secret
    assert (tmp_path / "audit.key").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.key", "incoming", "studies", "work"]


@pytest.mark.parametrize("name", ["", "..", "a" * 31, "A" * 32, "../" + "a" * 29])
def test_only_a_job_has_a_folder(tmp_path, name):
    with pytest.raises(ValueError, match="hexadecimal"):
        Storage(tmp_path).folder_of(name)
