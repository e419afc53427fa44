"""How a measurement is printed: a table of two columns in full, a sentence in brief."""

from collections.abc import Iterator, Mapping


def table(title: str, figures: Mapping[str, str]) -> Iterator[str]:
    """Lines of Markdown."""
    yield f"| {title} | measured |"
    yield "| --- | --- |"
    for what, figure in figures.items():
        yield f"| {what} | {figure} |"


def sentence(title: str, figures: Mapping[str, str]) -> str:
    """The same in one line."""
    return f"{title}: " + "; ".join(f"{what} {figure}" for what, figure in figures.items())
