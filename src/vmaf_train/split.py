"""Stage `split`: each scene to train, val or test by the hash of its name, the same on every machine."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Literal

from vmaf_train.errors import UserError
from vmaf_train.layout import Layout
from vmaf_train.params import Params, Split

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


def bucket(key: str, salt: str) -> float:
    """Map a key to 0 <= bucket < 1: the first 8 bytes of SHA-256("salt:key"), big-endian, over 2^64."""
    digest = hashlib.sha256(f"{salt}:{key}".encode()).digest()
    # integers of 64 bits round up to 2^64 in a double: keep the bucket below 1
    return min(int.from_bytes(digest[:8], "big") / 2**64, 1 - 2**-53)


def split_of(key: str, params: Split) -> SplitName:
    """Return the split of one scene key: below `test` -> test, below `test + val` -> val, else train."""
    position = bucket(key, params.salt)
    if position < params.test:
        return "test"
    return "val" if position < params.test + params.val else "train"


def split(params: Params, layout: Layout) -> Counter[str]:
    """Write `data/split.parquet` (key, scene, split), in manifest order; return clips a split.

    A clip follows its scene, so clips of one scene never straddle two splits. A corpus without scenes
    has one clip a scene, and its key is the scene.

    Raises:
        UserError: no manifest, or a split that would be empty.
    """
    from vmaf_train.tables import read_table, write_table

    manifest = read_table(layout.manifest, stage="manifest-scan")
    names = {scene: split_of(scene, params.split) for scene in manifest["scene"].unique()}
    table = manifest[["key", "scene"]].assign(split=manifest["scene"].map(names))
    clips = Counter(table["split"])
    for name in SPLITS:
        if not clips[name]:
            counts = ", ".join(f"{clips[other]} {other}" for other in SPLITS)
            raise UserError(
                f"split: {len(names)} scenes give no {name} clip ({counts}); add clips, "
                "or change split.test, split.val or split.salt in params.yaml"
            )
    write_table(layout.split, table)
    return clips
