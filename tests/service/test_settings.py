"""Settings come from a file, the environment and the command line, and are refused by name, never quoted."""

import json

import pytest
import yaml

from prostate_alm.errors import ArgumentError
from prostate_alm.service.settings import ServiceSettings, load_settings


@pytest.fixture
def config(tmp_path):
    def write(**values):
        path = tmp_path / "service.yaml"
        path.write_text(yaml.safe_dump({"ensemble": "/srv/ensemble"} | values))
        return path

    return write


def test_the_command_line_wins_over_the_environment_over_the_file(config):
    path = config(port=1001, host="127.0.0.1", queue_size=3)
    environment = {"PROSTATE_ALM_PORT": "1002", "PROSTATE_ALM_HOST": "127.0.0.2", "PATH": "/bin"}
    settings = load_settings(path, environment=environment, flags={"port": 1003, "storage": None})
    assert (settings.port, settings.host, settings.queue_size) == (1003, "127.0.0.2", 3)
    assert settings.storage.name == "triage-data"


def test_a_secret_may_lie_in_a_file(config, tmp_path):
    (tmp_path / "token").write_text("CANARY of enough characters\n")
    (tmp_path / "url").write_text("postgresql://me:CANARY@host/name\n")
    environment = {
        "PROSTATE_ALM_TOKEN_FILE": str(tmp_path / "token"),
        "PROSTATE_ALM_DATABASE_URL_FILE": str(tmp_path / "url"),
    }
    settings = load_settings(config(), environment=environment)
    assert settings.token is not None
    assert settings.database_url is not None
    assert settings.token.get_secret_value() == "CANARY of enough characters"
    assert settings.database_url.get_secret_value() == "postgresql://me:CANARY@host/name"
    assert "CANARY" not in repr(settings)
    assert "CANARY" not in settings.model_dump_json()


def test_lists_and_groups_come_from_the_environment_as_yaml(config):
    environment = {
        "PROSTATE_ALM_PACS": '[{"name": "main", "url": "https://pacs.example/dicom-web"}]',
        "PROSTATE_ALM_COMPLETE": "quiet_seconds: 5",
    }
    settings = load_settings(config(), environment=environment)
    assert (settings.pacs[0].name, settings.complete.quiet_seconds) == ("main", 5)


PACS = {"name": "main", "url": "https://pacs.example"}


@pytest.mark.parametrize(
    ("values", "environment", "named"),
    [
        ({"ensembel": "CANARY"}, {}, "ensembel"),
        ({"port": "CANARY"}, {}, "port"),
        ({"audit_share": 1.5}, {}, "audit_share"),
        ({"deadline_seconds": float("nan")}, {}, "deadline_seconds"),
        ({"pacs": [PACS, PACS]}, {}, "twice"),
        ({"pacs": [PACS | {"url": "ftp://CANARY"}]}, {}, "pacs.0.url"),
        ({"pacs": [PACS | {"user": "CANARY"}]}, {}, "password_file"),
        ({}, {"PROSTATE_ALM_OPERATING_PIONT": "CANARY"}, "PROSTATE_ALM_OPERATING_PIONT"),
        ({}, {"PROSTATE_ALM_TOKEN_FILE": "/CANARY/nowhere"}, "PROSTATE_ALM_TOKEN_FILE"),
        ({}, {"PROSTATE_ALM_PORT": "CANARY"}, "port"),
    ],
)
def test_what_is_wrong_is_named_and_not_quoted(config, *, values, environment, named):
    with pytest.raises(ArgumentError, match=named) as refusal:
        load_settings(config(**values), environment=environment)
    assert "CANARY" not in str(refusal.value)


@pytest.mark.parametrize("content", ["- a list", "a: [", ""])
def test_a_file_that_holds_no_settings_is_refused(tmp_path, content):
    path = tmp_path / "service.yaml"
    path.write_text(content)
    with pytest.raises(ArgumentError, match="config"):
        load_settings(path, environment={})
    with pytest.raises(ArgumentError, match="config"):
        load_settings(tmp_path / "nowhere.yaml", environment={})


def test_the_tests_own_variables_are_none_of_the_services(config):
    assert load_settings(config(), environment={"PROSTATE_ALM_DATA": "/data"})


def test_the_worker_gets_the_databases_password_and_no_token(config):
    environment = {"PROSTATE_ALM_TOKEN": "CANARY1", "PROSTATE_ALM_DATABASE_URL": "postgresql://me:CANARY2@host/name"}
    plain = json.dumps(load_settings(config(), environment=environment).for_worker())
    assert "CANARY1" not in plain
    again = ServiceSettings.model_validate(json.loads(plain))
    assert again.database_url is not None
    assert again.database_url.get_secret_value() == "postgresql://me:CANARY2@host/name"
