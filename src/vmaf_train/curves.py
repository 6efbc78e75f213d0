"""Learning curves: what DVCLive logged, as one CSV."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from vmaf_train.files import write_text


def write_curves(path: Path, logged: Path, names: list[str]) -> None:
    """Merge DVCLive's files, one a curve, into a CSV: `step` and a column a curve, empty where none.

    Args:
        path: where the CSV goes.
        logged: DVCLive's folder.
        names: the curves, such as `val/mse`; a curve that was never logged is an empty column.
    """
    rows: dict[int, dict[str, str]] = {}
    for name in names:
        source = logged / "plots" / "metrics" / f"{name}.tsv"
        if source.is_file():
            with open(source, encoding="utf-8", newline="") as handle:
                for row in csv.DictReader(handle, delimiter="\t"):
                    rows.setdefault(int(row["step"]), {})[name] = row[name.rsplit("/", 1)[-1]]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["step", *names])
    for step in sorted(rows):
        writer.writerow([step, *(rows[step].get(name, "") for name in names)])
    write_text(path, text.getvalue())
