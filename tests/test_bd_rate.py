"""The Bjontegaard figures of the benchmark, on curves whose answer is known."""

from __future__ import annotations

import subprocess
import sys

from conftest import ROOT

KNOWN = """
import dataclasses, math
import numpy as np
from bd_rate import Curve, bd_quality, bd_rate
quality = np.array([30.0, 60.0, 80.0, 90.0])
plain = Curve(np.array([4.0, 4.4, 4.8, 5.2]), quality, quality, quality / 2)
halved = dataclasses.replace(plain, rate=plain.rate - math.log10(2))
assert abs(bd_rate(plain, halved, "vmaf") + 50) < 1e-9
assert abs(bd_rate(halved, plain, "vmaf") - 100) < 1e-9
assert bd_rate(plain, plain, "psnr") == bd_quality(plain, plain, "psnr") == 0
better = dataclasses.replace(plain, psnr=plain.psnr + 1)
assert abs(bd_quality(plain, better, "psnr") - 1) < 1e-9
assert bd_rate(plain, better, "psnr") < 0
apart = dataclasses.replace(plain, vmaf=quality + 100)
assert math.isnan(bd_rate(plain, apart, "vmaf"))
"""


def test_half_the_rate_is_minus_fifty_percent_and_curves_apart_have_no_figure() -> None:
    command = [sys.executable, "-c", KNOWN]
    done = subprocess.run(command, cwd=ROOT / "bench", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
