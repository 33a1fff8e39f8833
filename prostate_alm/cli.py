"""The `prostate-alm` command line; a command is imported when it is called."""

import typer

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Find the prostate MRI patients who do not need the contrast sequence. Research use only.",
)
