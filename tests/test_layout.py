"""Layout: the paths that dvc.yaml, the README and users rely on."""

from pathlib import Path

from vmaf_train.layout import Layout


def test_paths_are_those_of_the_repository() -> None:
    layout = Layout()
    assert [
        str(path)
        for path in (
            layout.params,
            layout.corpus,
            layout.provenance,
            layout.photos,
            layout.manifest,
            layout.frames,
            layout.split,
            layout.checkpoint("m"),
            layout.curves("m"),
            layout.int8("m"),
            layout.onnx("m"),
            layout.metrics("m"),
            layout.plots("m"),
            layout.card("m"),
            layout.measured("m"),
        )
    ] == [
        "params.yaml",
        "data/corpus",
        "data/corpus/provenance.json",
        "data/photos",
        "data/manifest.parquet",
        "data/frames",
        "data/split.parquet",
        "data/checkpoints/m.ckpt",
        "data/curves/m.csv",
        "data/int8/m",
        "model/tiny/m.onnx",
        "metrics/m.json",
        "metrics/plots/m",
        "docs/models/m.md",
        "docs/measured/m.md",
    ]


def test_every_path_moves_with_the_root() -> None:
    assert Layout(Path("/elsewhere")).manifest == Path("/elsewhere/data/manifest.parquet")
