"""`prostate-alm token`: a new random token for the service, shown once."""

from collections.abc import Sequence

import typer

from prostate_alm.errors import ArgumentError
from prostate_alm.service.authentication import TokenScope, new_token


def token(name: str, *, scopes: Sequence[str]) -> None:
    """Print the token on stderr, for its user, and its line on stdout, for the service's `tokens_file`.

    Args:
        name: appears in logs and in the audit.
        scopes: of submit, read and metrics.

    Raises:
        ArgumentError: a scope is unknown, there is none, or the name is not plain.
    """
    unknown = sorted(set(scopes) - set(TokenScope))
    if unknown:
        raise ArgumentError(f"`scope` {unknown} is unknown. Available: {', '.join(TokenScope)}.")
    made, line = new_token(name, [TokenScope(scope) for scope in dict.fromkeys(scopes)])
    typer.echo(f"token, shown this once: {made}", err=True)
    typer.echo(line)
