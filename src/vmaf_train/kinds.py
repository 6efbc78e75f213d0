"""Model kinds, with the numbers of libvmaf's `VmafModelKind`."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """What a model does; the values are those of libvmaf's C enum."""

    SVM = 0
    FR = 1
    NR = 2
    FILTER = 3

    @property
    def label(self) -> str:
        """The word used in params.yaml, the registry and the sidecars: `svm`, `fr`, `nr`, `filter`."""
        return self.name.lower()

    @classmethod
    def from_label(cls, label: str) -> Kind:
        """Return the kind of a registry word.

        Raises:
            ValueError: `label` is not one of `svm`, `fr`, `nr`, `filter`.
        """
        try:
            return {kind.label: kind for kind in cls}[label]
        except KeyError:
            words = ", ".join(kind.label for kind in cls)
            raise ValueError(f"unknown model kind {label!r}: expected one of {words}") from None
