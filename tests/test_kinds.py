"""Kinds: libvmaf's numbers and the registry's words."""

import pytest

from vmaf_train.kinds import Kind


def test_values_are_those_of_libvmafs_enum() -> None:
    assert [(kind.name, int(kind)) for kind in Kind] == [("SVM", 0), ("FR", 1), ("NR", 2), ("FILTER", 3)]


@pytest.mark.parametrize("kind", Kind)
def test_a_label_leads_back_to_its_kind(kind: Kind) -> None:
    assert Kind.from_label(kind.label) is kind


def test_an_unknown_label_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown model kind 'fliter'.*svm, fr, nr, filter"):
        Kind.from_label("fliter")
