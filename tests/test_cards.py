"""Cards and the README's table: only what sidecars and metrics say."""

from __future__ import annotations

import pytest

from vmaf_train.cards import BEGIN, END, card, corpus_line, metric_table, readme_block, with_block
from vmaf_train.graph import GraphFacts, Value
from vmaf_train.kinds import Kind
from vmaf_train.sidecar import Sidecar

FACTS = GraphFacts(
    opset=17,
    ir_version=8,
    input=Value("frame", ("batch", 1, 224, 224)),
    output=Value("mos", ("batch",)),
    operators={"Conv": 11},
    parameters=18561,
    bytes=84277,
)
VALUES = {
    "n": 12,
    "mse": 0.51234,
    "rmse": 0.71578,
    "plcc": 0.8,
    "srocc": None,
    "krocc": 0.6,
    "mean_predictor_mse": 1.25,
}


def sidecar(**changes: object) -> Sidecar:
    values: dict[str, object] = {
        "name": "nr_metric_v1",
        "kind": Kind.NR,
        "input_name": "frame",
        "output_name": "mos",
        "onnx_opset": 17,
        "description": "One frame to a score.",
        "input_shape": FACTS.input.shape,
        "output_shape": FACTS.output.shape,
        "output_range": (1, 5),
        "score_range": (1, 5),
        "score_direction": "higher-is-better",
        "sha256": "0" * 64,
        "corpus": "synthetic",
        "label_kind": "vmaf-proxy",
        "split_counts": {"train": 80, "val": 12, "test": 12},
        "metrics": {"val": VALUES, "test": VALUES},
        "provenance": {},
        "licence": "BSD-2-Clause-Patent",
    }
    return Sidecar(**(values | changes))  # type: ignore[arg-type]


def text(**changes: object) -> str:
    return card(sidecar(**changes), FACTS, {"224x224": 0.0152}, measured="", citation="Somebody 2001")


def test_a_metric_stands_beside_its_baseline() -> None:
    row = "| nr_metric_v1 | test | 12 | 0.5123 (1.25) | 0.7158 | 0.8 | undefined | 0.6 |"
    assert row in metric_table([sidecar()])


def test_each_row_of_a_filter_says_of_which_damage_it_is_and_its_card_of_which_the_curves_are() -> None:
    values = dict.fromkeys(("l1", "psnr", "ssim"), 0.01)
    values |= {f"do_nothing_{key}": 0.02 for key in values} | {"n": 7}
    filtered = sidecar(name="f", kind=Kind.FILTER, metrics={"val": values, "test_coded": values})
    table = metric_table([sidecar(), filtered])
    assert "| f | val, blur and JPEG | 7 | 0.01 (0.02) | 0.01 (0.02) | 0.01 (0.02) |" in table
    assert "| f | test, encoders' damage | 7 |" in table
    told = card(filtered, FACTS, {}, measured="", citation="")
    assert "They are of this filter's own mix of pairs" in told
    assert "pairs" not in text()


@pytest.mark.parametrize("kind", ["vmaf-proxy", "human-mos"])
def test_proxy_labels_are_never_taken_for_people(kind: str) -> None:
    assert ("**No person rated these clips**" in text(label_kind=kind)) == (kind == "vmaf-proxy")
    assert f"`{kind}`" in text(label_kind=kind)


def test_a_card_gives_the_contract_of_the_graph() -> None:
    assert "`frame [batch, 1, 224, 224]`, float32, 0..1" in text()
    assert "MOS, 1..5, higher is better" in text()
    assert "0.0152 GMAC at 224x224" in text()


def test_a_card_says_how_a_frame_is_sampled() -> None:
    assert "| sampling | `area`: the whole frame" in text(sampling="area")
    assert "The frame is shrunk to 224x224 first" in text(sampling="area")
    assert "| sampling | `fragments`: 14x14 squares" in text(sampling="fragments")
    assert "shrunk" not in text(sampling="fragments")


def test_what_was_measured_is_quoted_when_there_is_something() -> None:
    assert "## Measured" not in text()
    this, other = sidecar().sha256, "f" * 64
    heads = {"this": f"<!-- measured: {this} -->\n", "other": f"<!-- measured: {other} -->\n", "unknown": ""}
    told = {
        build: card(sidecar(), FACTS, {}, measured=f"{head}Fast.\n", citation="Somebody 2001")
        for build, head in heads.items()
    }
    assert "## Measured\n\nFast." in told["this"]
    assert "Measured\n\n**Not of this file**: another build of this model was measured, " in told["other"]
    assert f"whose SHA-256 is `{other}`" in told["other"]
    assert "they do not say which" in told["unknown"]
    assert all(text.count("Fast.") == 1 and "<!--" not in text for text in told.values())


def test_the_block_replaces_what_stood_between_the_markers() -> None:
    readme = f"a\n{BEGIN}\nold\n{END}\nb\n"
    assert with_block(readme, readme_block([sidecar()])) == f"a\n{readme_block([sidecar()])}\nb\n"
    assert corpus_line(sidecar()) in readme_block([sidecar()])


def test_a_readme_without_markers_stays_as_it_is() -> None:
    assert with_block("a\nb\n", "block") == "a\nb\n"


def test_labels_of_people_are_not_called_proxies() -> None:
    rated = sidecar(label_kind="human-mos", corpus="konvid-1k")
    for kind, given in (("proxy", sidecar()), ("human", rated)):
        text = card(given, FACTS, {"224x224": 0.03}, measured="", citation="")
        assert ("Trained with proxy labels" in text) == (kind == "proxy")
        assert ("No person rated these clips" in text) == (kind == "proxy")
