from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.tiling import WHOLE, compare, cut_models, example, markdown, psnr, seam, tone
from restorekit.inference.tiling import plan_tiles
from restorekit.methods import Tiling


def test_statistics_of_the_whole_make_tiles_exact() -> None:
    own, measured = compare("cbsn-compact-l", example(150), [119])
    assert (own.choice, measured.choice) == ("own", "measured, exact") and measured.used and not own.used
    assert measured.psnr > 100 and measured.overlap == 20
    assert own.psnr < 60
    assert compare("cbsn-compact-l", example(150), [WHOLE]) == []
    row = markdown([measured]).splitlines()[2]
    assert row.startswith("| cbsn-compact-l | 95 x 95 | 20 | measured, exact | yes |")


def test_psnr() -> None:
    target = np.zeros((4, 5, 3), np.float32)
    assert psnr(target + np.float32(0.1), target) == pytest.approx(20, abs=1e-4)
    assert psnr(target, target) == math.inf


def test_seam_is_one_without_a_step_and_large_with_one() -> None:
    plan = plan_tiles((96, 96), Tiling(8, halo=None, overlap=0, minimum=16, bytes_per_pixel=1), max_side=48)
    noise = np.random.default_rng(0).normal(0, 0.01, (96, 96, 3)).astype(np.float32)
    assert seam(noise, plan) == pytest.approx(1, abs=0.2)
    noise[:48] += 0.1
    noise[:, :48] += 0.1
    assert seam(noise, plan) > 5


def test_tone_sees_blocks_that_fade_where_seam_sees_none() -> None:
    plan = plan_tiles((96, 160), Tiling(8, halo=None, overlap=16, minimum=16, bytes_per_pixel=1), max_side=96)
    left, right = plan.columns
    noise = np.random.default_rng(0).normal(0, 0.01, (96, 160, 3)).astype(np.float32)
    assert tone(noise, plan) < 0.3 and left.fade_out >= 32
    noise[:, right.first :, 1] += 0.04 * right.weights()
    assert 0.03 * 255 < tone(noise, plan) < 0.04 * 255
    assert seam(noise, plan) == pytest.approx(1, abs=0.2)


def test_every_method_that_is_cut_has_a_model() -> None:
    models = cut_models()
    assert "multi-output-compact" in models and "cbsn-compact" in models
    assert not any(model.startswith("dcpi-depth") for model in models)
