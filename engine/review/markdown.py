"""A document to Markdown (CommonMark with tables); drawings become their range, since Markdown has none."""

from typing import assert_never

from engine.review.document import Block, Document, Drawing, Grid, Items, Text

_ESCAPED = str.maketrans({each: f"\\{each}" for each in "\\|*_<>#[]`"})


def to_markdown(document: Document) -> str:
    """The page as text."""
    parts = [f"# {_plain(document.title)}"]
    for section in document.sections:
        parts.append(f"## {_plain(section.title)}")
        parts += [_block(each) for each in section.blocks]
    return "\n\n".join(part for part in parts if part) + "\n"


def _block(block: Block) -> str:
    match block:
        case Text(text=text):
            return _plain(text)
        case Items(items=items):
            return "\n".join(f"* {_plain(each)}" for each in items)
        case Grid(columns=columns, rows=rows):
            lines = [columns, tuple("---" for _ in columns)]
            head = [f"| {' | '.join(each)} |" for each in lines]
            return "\n".join([*head, *(f"| {' | '.join(map(_plain, row))} |" for row in rows)])
        case Drawing(series=series):
            values = [value for _, value in series.points]
            bound = f", threshold {series.threshold:g}" if series.threshold is not None else ""
            return _plain(
                f"{series.name} ({series.what}): {len(values)} points from {min(values):g} to {max(values):g}{bound}; "
                f"fired {len(series.marks)} times."
            )
    assert_never(block)


def _plain(text: str) -> str:
    """Text that stays text: what events say can't become markup, links or another row."""
    shown = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in " ".join(text.split()))
    return shown.translate(_ESCAPED)
