"""A token is shown once; the file gets its hash."""

import yaml
from typer.testing import CliRunner

from prostate_alm.cli import app
from prostate_alm.errors import ArgumentError
from prostate_alm.service.authentication import Caller, TokenEntry, Tokens, TokenScope


def test_the_token_is_for_its_user_and_the_line_for_the_file():
    result = CliRunner().invoke(app, ["token", "scanner-1", "--scope", "submit", "--scope", "read"])
    assert result.exit_code == 0
    shown = result.stderr.split()[-1]
    assert shown not in result.stdout
    tokens = Tokens(TokenEntry(**entry) for entry in yaml.safe_load(result.stdout))
    assert tokens.find(shown) == Caller("scanner-1", frozenset({TokenScope.SUBMIT, TokenScope.READ}))


def test_two_tokens_differ():
    shown = {CliRunner().invoke(app, ["token", "a", "--scope", "read"]).stderr for _ in range(2)}
    assert len(shown) == 2


def test_an_unknown_scope_is_refused():
    result = CliRunner().invoke(app, ["token", "a", "--scope", "all"])
    assert isinstance(result.exception, ArgumentError)
    assert "submit" in str(result.exception)
