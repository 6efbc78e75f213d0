"""The one reader and writer of parquet tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vmaf_train.errors import UserError
from vmaf_train.files import replacing

if TYPE_CHECKING:
    import pandas as pd


def read_table(path: Path, *, stage: str) -> pd.DataFrame:
    """Read a parquet table that the command `stage` writes.

    Raises:
        UserError: the file is missing or is not parquet.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"no {path}: run `vmaf-train {stage}` (or `dvc repro`) first") from None
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is not a parquet table ({reason}); delete it and run `dvc repro`") from None


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write `table` without its index, whole or not at all; the same rows give the same bytes."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")
