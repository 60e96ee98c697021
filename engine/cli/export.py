"""`halon incidents export`: an incident for other systems, as OCSF objects or a STIX bundle."""

import importlib
from pathlib import Path

import click
import msgspec

from engine.cli.daemon import Daemon
from engine.cli.output import say
from engine.cli.report import fetch
from engine.cli.setup import Failure, config_option
from engine.review.ocsf import to_ocsf
from engine.review.stix import to_stix


@click.command()
@click.argument("incident")
@click.option(
    "--format",
    "form",
    type=click.Choice(["ocsf", "stix"]),
    default="ocsf",
    show_default=True,
    help="OCSF 1.6: one object a line. STIX 2.1: one bundle; needs the extra `stix`.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there.")
@config_option
def export(incident: str, *, form: str, out: Path | None, config_path: Path | None) -> None:
    """Print an incident for other systems: its findings, and what was done and read back.

    OCSF has an Incident Finding (2005), a Detection Finding (2004) for each signal, and a Remediation Activity (7001)
    for each step that acted. Names of models, runs and clients stand in it: look at it before it leaves the house.
    """
    found = fetch(Daemon(config_path), incident)
    if form == "ocsf":
        text = "".join(msgspec.json.encode(each).decode() + "\n" for each in to_ocsf(found))
    else:
        try:
            library = importlib.import_module("stix2")
        except ImportError as error:
            raise Failure("STIX needs the package `stix2`: pip install 'halon[stix]'") from error
        text = to_stix(found, library) + "\n"
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"can't write {out}: {error.strerror}") from error
    say(f"wrote {out}")
