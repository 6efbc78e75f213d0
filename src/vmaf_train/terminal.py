"""Progress bars and tables on a terminal; plain lines where there is none."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

Report = Callable[[int, int], None]


@contextlib.contextmanager
def progress_bar(what: str) -> Iterator[Report | None]:
    """A bar on stderr with frames, frames a second and time left; None where stderr is no terminal.

    The yielded function takes (frames done, frames expected or 0).
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]:.1f} fps"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, fps=0.0)

        def report(done: int, expected: int) -> None:
            elapsed = bar.tasks[0].elapsed or 0.0
            # a file may hold more frames than it says
            total = max(done, expected) if expected else None
            bar.update(task, completed=done, total=total, fps=done / elapsed if elapsed else 0.0)

        yield report


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, *, fold: bool = True
) -> None:
    """A table on a terminal; else tab-separated lines, the caption first as a `#` comment.

    On a narrow terminal cells are broken, but no word of the header is, nor a cell of the first column unless
    `fold`: paths may be broken, ids are copied from there.
    """
    if not sys.stdout.isatty():
        print(f"# {caption}")
        for row in (header, *rows):
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # names of files and folders are no markup
    table = Table(caption=Text(caption), caption_justify="left")
    for index, name in enumerate(header):
        table.add_column(
            name,
            justify="left" if index == 0 else "right",
            overflow="fold",
            no_wrap=index == 0 and not fold,
            min_width=max(map(len, name.split())),
        )
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def print_note(text: str) -> None:
    """A line on stderr that is no error, so that it does not mix with results."""
    print(f"note: {text}", file=sys.stderr)


def print_error(text: str) -> None:
    """One of several errors, as a line of its own on stderr."""
    print(f"vmaf-train: {text}", file=sys.stderr)


def print_facts(title: str, rows: dict[str, str]) -> None:
    """Label and value, one a line; aligned on a terminal, tab-separated where there is none."""
    width = max(map(len, rows)) if sys.stdout.isatty() else 0
    print(title)
    for label, value in rows.items():
        print(f"  {label:<{width}}  {value}" if width else f"{label}\t{value}")
