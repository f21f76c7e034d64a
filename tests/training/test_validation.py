"""Scores while training: what photographs go through, and how."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from restorekit import images
from restorekit.data.held_back import HeldBack
from restorekit.errors import DataError, SettingError
from restorekit.methods import Batch, get_method
from restorekit.methods.multi_output import METHOD
from restorekit.training import Recipe, load_recipe, train, validation
from restorekit.training.sources import load_data
from restorekit.training.validation import in_tiles_of, validate
from restorekit.zoo import load_card
from tests.tiny import OTHERS
from tests.training.conftest import columns

SMALL_TILES = "config.train_size=[64, 64]"
"""Tiles are no smaller than the crops that local means are for."""


def scores(tmp_path: Path, name: str, *changes: str) -> dict[str, float]:
    train(load_recipe(tmp_path / "tiny.toml", ["train.steps=1", *changes]), tmp_path / name)
    row = columns(tmp_path / name / "validation.csv", "hours")[-1]
    return {key: float(value) for key, value in row.items()}


def test_tiles_as_large_as_the_photographs_change_nothing(recipe: Recipe, tmp_path: Path) -> None:
    assert "best_overall" in scores(tmp_path, "whole", SMALL_TILES)
    whole, tiled = scores(tmp_path, "whole", SMALL_TILES), scores(tmp_path, "tiled", "report.validation_tile=96", SMALL_TILES)
    assert tiled == pytest.approx(whole, abs=2e-3)  # heads are kept as images are, in [0, 1]


def test_photographs_are_cut_into_tiles(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from restorekit.inference import engine

    counts: list[int] = []
    plan = engine.plan_tiles

    def noted(*given: object, **more: object) -> object:
        made = plan(*given, **more)  # type: ignore[arg-type]
        counts.append(made.tiles)
        return made

    monkeypatch.setattr(engine, "plan_tiles", noted)
    tiled = scores(tmp_path, "tiled", "report.validation_tile=64", SMALL_TILES)
    assert counts == [4, 4] and tiled["psnr"] == pytest.approx(scores(tmp_path, "whole", SMALL_TILES)["psnr"], abs=0.05)
    assert load_card(tmp_path / "tiled" / "tiny.toml").scores[0].protocol.startswith("RGB, whole photographs in tiles of 64")


def test_tiles_that_are_too_small_are_refused_before_the_first_step(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="tile must be at least"):
        train(load_recipe(tmp_path / "tiny.toml", ["report.validation_tile=5"]), tmp_path / "run")
    assert not (tmp_path / "run" / "train.csv").exists()


def write_depth(folder: Path, depths: list[float]) -> Path:
    for index, depth in enumerate(depths):
        for kind, values in (("frames", np.full((24, 32, 3), 90, np.uint8)), ("depth", np.full((24, 32, 1), depth, np.uint16))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            images.write(images.Image(values), folder / kind / f"{index}.png")
    return folder


def test_depth_is_no_validation_of_what_restores(recipe: Recipe, tmp_path: Path) -> None:
    folder = write_depth(tmp_path / "set", [2000.0])
    changes = ["data.validation=[]", f'data.validation_depth=["{folder}"]']
    with pytest.raises(SettingError, match=r"multi-output answers with images.*Set data.validation or data.validation_pairs"):
        train(load_recipe(tmp_path / "tiny.toml", changes), tmp_path / "run")
    assert not (tmp_path / "run" / "train.csv").exists()


def test_frames_without_depth_do_not_count(tmp_path: Path) -> None:
    looks = []
    for truth in (torch.zeros(1, 1, 4, 6), torch.full((1, 1, 4, 6), 2.0)):
        prediction = SimpleNamespace(depth=torch.full((1, 1, 4, 6), 3.0), image=torch.ones(1, 1, 4, 6))
        looks.append(SimpleNamespace(name="a", batch=Batch(torch.zeros(1, 3, 4, 6), truth, {}), prediction=prediction))
    scores = validation._score_depth(iter(looks), None, 0)  # type: ignore[arg-type]
    assert scores.values["abs_rel"] == 0 and scores.merit == 0 and scores.input == 0  # scaled by its median, it is right


def test_a_unit_in_which_no_depth_counts_is_refused(tmp_path: Path) -> None:
    folder = write_depth(tmp_path / "set", [0.0, 2000.0])
    changes = [f'data.validation_depth=["{folder}"]', "data.videos=[]", "corridors=1", "config.height=64", "config.width=96"]
    recipe = load_recipe("dcpi-depth-compact", [*changes, "data.depth_unit=1.0"])
    with pytest.raises(DataError, match=r"no depth in .*set lies between 0.001 and 80. Correct data.depth_unit, 1."):
        load_data(recipe, torch.device("cpu"))


def test_losses_are_computed_in_float32_of_what_the_network_says_in_bfloat16() -> None:
    network = nn.Sequential(OrderedDict(first=nn.Conv2d(3, 4, 3, padding=1)))
    seen: list[torch.dtype] = []

    def objective(model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        answer = model(batch.input)
        product = answer.flatten(2) @ answer.flatten(2).mT  # autocast would do it in bfloat16
        seen.extend((answer.dtype, product.dtype, model.first.weight.dtype))
        return {"loss": (answer - network(batch.input)).abs().max(), "product": product.mean()}

    held = HeldBack("crop", [Batch(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), {})], "none")
    fabric = Fabric(accelerator="cpu", precision="bf16-mixed")
    scores = validate(fabric, METHOD, None, network, objective, held)  # type: ignore[arg-type]
    assert seen == [torch.float32] * 3
    assert 0 < scores.values["loss"] < 0.02  # the network itself computed in bfloat16


def test_held_back_losses_are_weighted_as_those_of_the_step_and_drawn_the_same() -> None:
    cbsn = get_method("cbsn")
    config = cbsn.config_type(**OTHERS["cbsn"][1])
    torch.manual_seed(0)
    network = cbsn.build(config)
    objective = cbsn.objective(config, {"ramp": 100})
    crops = [torch.rand(1, 3, 40, 40) for _ in range(2)]
    held = HeldBack("crop", [Batch(crop, crop, {"step": torch.tensor(index)}) for index, crop in enumerate(crops)], "none")
    early, later, last = (
        validate(Fabric(accelerator="cpu"), cbsn, config, network, objective, held, step=step).values for step in (0, 50, 1000)
    )
    assert early["blind"] == later["blind"] == last["blind"] > 0
    assert early["invariance"] == 0 < later["invariance"]
    for name in ("self", "invariance"):
        assert later[name] == pytest.approx(0.5 * last[name])


def test_tiles_run_on_the_apple_gpu_that_fabric_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def restorer(*arguments: Any, device: str, **options: Any) -> None:
        asked.append(device)

    monkeypatch.setattr("restorekit.inference.Restorer", restorer)
    for device in ("mps:0", "cuda:1", "cpu"):
        precision = SimpleNamespace(precision=SimpleNamespace(precision="32-true"))
        fabric: Any = SimpleNamespace(device=torch.device(device), strategy=precision)
        in_tiles_of(fabric, get_method("multi-output"), None, torch.nn.Identity(), 64)
    assert asked == ["mps", "cuda:1", "cpu"]


def test_tiles_are_told_where_an_image_clips() -> None:
    infwide = get_method("infwide")
    config = infwide.config_type(**OTHERS["infwide"][1])
    torch.manual_seed(0)
    network = infwide.build(config).eval()
    extras = {"psf": torch.rand(1, 1, 5, 5), "white": torch.full((1, 1, 1, 1), 0.5), "blurred": torch.rand(1, 3, 40, 52)}
    batch = Batch(torch.rand(1, 3, 40, 52) / 2, torch.rand(1, 3, 40, 52), extras)
    with torch.no_grad():
        whole = infwide.predict(network, batch.input, **extras)["image"].clamp(0, 1)
    tiled = in_tiles_of(Fabric(accelerator="cpu", precision="32-true"), infwide, config, network, 256)(batch).image
    assert whole.std() > 0.01
    torch.testing.assert_close(tiled, whole, atol=1e-4, rtol=0)
