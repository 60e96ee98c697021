"""A document to one self-contained HTML page: no script, no font, no picture from anywhere else."""

import html
from datetime import datetime
from typing import assert_never

from engine.review.document import Block, Document, Drawing, Grid, Items, Text
from engine.review.svg import draw

_STYLE = """
:root { color-scheme: light dark; --line: #8888; --strong: #c22; --curve: #27c; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; width: 100%; font-size: .85rem; }
th, td { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; } td:first-child { white-space: nowrap; }
svg { width: 100%; height: auto; margin: .5rem 0; } svg text { font: 11px system-ui, sans-serif; fill: currentColor; }
svg .name { font-weight: 600; } svg .curve { fill: none; stroke: var(--curve); stroke-width: 1.5; }
svg .threshold { stroke: var(--strong); stroke-dasharray: 5 4; } svg .moment { stroke: var(--line); }
svg .fired { fill: var(--strong); }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } }
"""


def to_html(document: Document, *, moments: tuple[tuple[datetime, str], ...] = ()) -> str:
    """The page as text; `moments` are named in the drawings."""
    body = [f"<h1>{_text(document.title)}</h1>"]
    for section in document.sections:
        body.append(f"<section><h2>{_text(section.title)}</h2>")
        body += [_block(each, moments) for each in section.blocks]
        body.append("</section>")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # Whatever an event smuggled past the escaping could still not run or load anything.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{_text(document.title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _block(block: Block, moments: tuple[tuple[datetime, str], ...]) -> str:
    match block:
        case Text(text=text):
            return f"<p>{_text(text)}</p>"
        case Items(items=items):
            return "<ul>" + "".join(f"<li>{_text(each)}</li>" for each in items) + "</ul>"
        case Grid(columns=columns, rows=rows):
            head = "".join(f"<th>{_text(each)}</th>" for each in columns)
            lines = "".join("<tr>" + "".join(f"<td>{_text(each)}</td>" for each in row) + "</tr>" for row in rows)
            return f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
        case Drawing(series=series):
            return draw(series, moments=moments)
    assert_never(block)


def _text(text: str) -> str:
    return html.escape("".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text))
