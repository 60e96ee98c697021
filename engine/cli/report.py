"""`halon incidents report`: the review of an incident as Markdown, as one HTML page, or as JSON."""

from pathlib import Path

import click

from actions.table import load_catalogue
from engine.cli.daemon import Daemon
from engine.cli.explain import incident_words
from engine.cli.loading import read_rules
from engine.cli.output import emit, note, say
from engine.cli.setup import Failure, config_option, json_option
from engine.operate import reviews
from engine.operate.client import segment
from engine.operate.reviews import Review
from engine.review.document import compose
from engine.review.markdown import to_markdown
from engine.review.page import to_html
from engine.review.series import around
from engine.rulefile.rules import RuleSet


@click.command()
@click.argument("incident")
@click.option("--markdown", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there.")
@click.option(
    "--html", "page", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write one HTML page there."
)
@config_option
@json_option
def report(incident: str, *, markdown: Path | None, page: Path | None, config_path: Path | None, as_json: bool) -> None:
    """Write the review of an incident: the story, every decision, the evidence, the signals, what to change.

    Without an option, Markdown goes to standard output. The HTML page needs nothing from outside and draws the signals
    around the moment. Files that are there are overwritten: a report is made anew from what is kept.
    """
    daemon = Daemon(config_path)
    found = fetch(daemon, incident)
    if as_json:
        emit(found)
        return
    document = compose(found, around(found, current_rules(daemon)))
    if page is not None:
        row = found.detail.incident
        moments = [(row.opened, "opened"), *([(row.contained, "contained")] if row.contained else [])]
        _write(page, to_html(document, moments=tuple(moments)))
    if markdown is not None:
        _write(markdown, to_markdown(document))
    if page is None and markdown is None:
        click.echo(to_markdown(document), nl=False)


def fetch(daemon: Daemon, incident: str) -> Review:
    """All that is known of an incident, from the daemon or its database. Raises Failure where there is none."""
    return daemon.view(
        f"/v1/incidents/{segment(incident)}/review",
        Review,
        lambda db: reviews.review(db, incident),
        what=incident_words(incident),
    )


def current_rules(daemon: Daemon) -> RuleSet | None:
    """The config's rules as they are now; None, with a note, where they do not load."""
    setup = daemon.setup
    rules, _ = read_rules(setup.places.rules, load_catalogue().catalogue, setup.config)
    if rules is None:
        note("note: the rules do not load (`halon check` says why), so signals are drawn as counts", "yellow")
    return rules


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"can't write {path}: {error.strerror}") from error
    say(f"wrote {path}")
