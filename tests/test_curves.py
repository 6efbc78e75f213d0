from __future__ import annotations

from pathlib import Path

from vmaf_train.curves import write_curves


def test_curves_are_merged_by_step_with_empty_cells(tmp_path: Path) -> None:
    for name, text in {
        "train/loss": "step\tloss\n10\t0.5\n20\t0.25\n",
        "val/mse": "step\tmse\n20\t0.75\n25\t0.5\n",
    }.items():
        file = tmp_path / "logged" / "plots" / "metrics" / f"{name}.tsv"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    write_curves(tmp_path / "curves.csv", tmp_path / "logged", ["train/loss", "val/mse"])
    assert (tmp_path / "curves.csv").read_text() == (
        "step,train/loss,val/mse\n10,0.5,\n20,0.25,0.75\n25,,0.5\n"
    )


def test_a_curve_that_was_never_logged_is_an_empty_file_with_its_name(tmp_path: Path) -> None:
    write_curves(tmp_path / "curves.csv", tmp_path, ["train/loss", "val/l1"])
    assert (tmp_path / "curves.csv").read_text() == "step,train/loss,val/l1\n"
