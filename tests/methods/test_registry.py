"""What every method must do. There is no list to keep: a new one is found, and tried in its ``compact`` form.

Weights come from the goldens' recipe with kernels halved, as of a network that has learnt to keep to its input. Numbers that must
be equal are compared in double precision, for some networks sort, and in single precision the least rounding can swap ranks.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restorekit import images
from restorekit.cli.verbs import VERBS
from restorekit.errors import CheckpointError, ImageError
from restorekit.inference import Restorer
from restorekit.inference.tiling import least_side
from restorekit.methods import Method, Objective, Prediction, get_method, list_methods, self_taught
from restorekit.settings import from_table, to_table
from restorekit.zoo import import_checkpoint, list_models, load_card, load_network
from tests.goldens.recipe import fill
from tests.inference.networks import picture

EXAMPLES = Path(__file__).parents[2] / "examples"
HEIGHT, WIDTH = 29, 34
FARTHEST = 512
"""Pixels of reach up to which it is tried out; methods that reach farther have tests of their own."""


def example_of(method: Method[Any], height: int, width: int) -> dict[str, Tensor]:
    return {name: torch.from_numpy(value) for name, value in method.example_extras(height, width).items()}


@dataclass(frozen=True)
class Subject:
    """A method with a network of its compact configuration."""

    method: Method[Any]
    config: Any
    network: nn.Module

    def answer(self, image: Tensor, **measured: Tensor) -> Prediction:
        example = example_of(self.method, *image.shape[-2:])
        extras = {name: value.to(image.dtype) for name, value in example.items()}
        return self.method.finish(self.method.predict(self.network, image, **extras, **measured), self.config)

    def in_bfloat16(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The answer in float32, and how far bfloat16 is from it: PSNR in dB."""
        with torch.no_grad():
            measured = self.method.measure(image)
            exact = self.answer(image, **measured).image
            with torch.autocast("cpu", torch.bfloat16):
                rounded = self.answer(image, **measured).image
        assert rounded.isfinite().all()
        return exact, -10 * torch.log10((rounded - exact).square().mean())


def filled(method: Method[Any], config: Any) -> nn.Module:
    network = method.build(config).eval()
    state = network.state_dict()
    for key, value in state.items():
        numbers = torch.from_numpy(fill(key, tuple(value.shape)))
        if value.is_floating_point():
            state[key] = numbers / 2 if value.dim() > 1 else numbers
    network.load_state_dict(state)
    return network


@cache
def subject_of(name: str) -> Subject:
    method = get_method(name)
    config = method.presets["compact"]
    return Subject(method, config, filled(method, config))


def reach_of(name: str) -> int:
    """The halo of a method's compact configuration."""
    method = get_method(name)
    halo = method.tiling(method.presets["compact"]).halo
    return sys.maxsize if halo is None else halo


@pytest.fixture(params=list_methods())
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    found = subject_of(request.param)
    yield found
    found.network.float().zero_grad()


@pytest.fixture
def exact(subject: Subject) -> Subject:
    """The subject in double precision."""
    subject.network.double()
    return subject


def photo(height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> Tensor:
    return torch.from_numpy(picture(height, width, seed=seed)).permute(2, 0, 1)[None].contiguous()


def tensors_of(prediction: Prediction) -> dict[str, Tensor]:
    return {field.name: getattr(prediction, field.name) for field in fields(prediction)}


def test_packages_are_imported_without_torch() -> None:
    code = "import sys; from restorekit.methods import *; list_methods(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", list_methods())
def test_what_is_learnt_from_the_inputs_alone_can_begin_with_fresh_weights(name: str) -> None:
    method = get_method(name)
    lesson = method.lesson(method.presets["compact"], 100, fresh=True, frame=(60, 80))
    assert set(method.alone) <= set(method.tasks) and bool(method.alone) == (lesson is not None)
    if lesson is not None:
        config = from_table(method.config_type, {**to_table(method.presets["compact"]), **lesson.config}, name)
        assert isinstance(method.objective(config, lesson.objective), Objective)
        assert lesson.crop >= lesson.multiple >= 1 and lesson.learning_rate > 0
    assert isinstance(method.objective(method.presets["compact"], method.with_truth), Objective)


def test_verbs_that_adapt_have_a_method_to_begin_with() -> None:
    assert {task: self_taught(task) for task, verb in VERBS.items() if verb.adapts} == {
        "denoise": ["cbsn"],
        "depth": ["dcpi-depth"],
    }
    assert not self_taught("deblur") and all(f"{name}-compact" in list_models() for name in ("cbsn", "dcpi-depth"))


@pytest.mark.parametrize("name", list_methods())
class TestDescription:
    def test_says_what_it_is(self, name: str) -> None:
        method = get_method(name)
        assert method.tasks and method.paper.url.startswith("https://")
        assert type(method).__module__ == f"restorekit.methods.{name.replace('-', '_')}"
        assert {"compact", "paper"} <= set(method.presets)
        example = method.example_extras(HEIGHT, WIDTH)
        assert set(example) >= set(method.extra_inputs)
        assert all(isinstance(value, np.ndarray) and value.dtype == np.float32 for value in example.values())

    def test_compact_is_compact(self, name: str) -> None:
        method = get_method(name)
        with torch.device("meta"):
            network = method.build(method.presets["compact"])
        assert 10_000 < sum(parameter.numel() for parameter in network.parameters()) <= 4_000_000

    def test_presets_pass_through_a_card(self, name: str) -> None:
        method = get_method(name)
        for preset, config in method.presets.items():
            assert from_table(method.config_type, to_table(config), preset) == config

    def test_keys_of_its_networks_are_its_own(self, name: str) -> None:
        """Of every preset: it builds the same network of them, and no other method takes them for its own."""
        method = get_method(name)
        for config in method.presets.values():
            with torch.device("meta"):
                state = method.build(config).state_dict()
                found = method.build(method.config_from_state_dict(method.convert_state_dict(state))).state_dict()
            assert {key: value.shape for key, value in found.items()} == {key: value.shape for key, value in state.items()}
            for other in map(get_method, list_methods()):
                if other is not method:
                    with pytest.raises(CheckpointError):
                        other.config_from_state_dict(other.convert_state_dict(state))


class TestNetwork:
    @pytest.mark.parametrize(("height", "width"), [(HEIGHT, WIDTH), (33, 23), (7, 90), (3, 2)])
    def test_any_size(self, subject: Subject, height: int, width: int) -> None:
        with torch.no_grad():
            found = tensors_of(subject.answer(photo(height, width)))
        assert found["image"].shape == (1, 3, height, width)
        for values in found.values():
            assert values.shape[0] == 1 and values.shape[-2:] == (height, width)
            assert values.isfinite().all()

    def test_a_single_pixel_is_answered_or_refused_in_words(self, subject: Subject) -> None:
        try:
            with torch.no_grad():
                found = subject.answer(photo(1, 1)).image
        except ImageError as error:
            assert "an image of 1 x 1 pixels is too small" in error.problem
        else:
            assert found.shape == (1, 3, 1, 1) and found.isfinite().all()

    def test_the_answer_follows_the_image(self, exact: Subject) -> None:
        with torch.no_grad():
            one, other = (exact.answer(photo(seed=seed).double()).image for seed in (0, 1))
        assert (one - other).abs().max() > 1e-4

    def test_a_batch_is_its_images(self, exact: Subject) -> None:
        images = torch.cat([photo(seed=0), photo(seed=1)]).double()
        with torch.no_grad():
            together = tensors_of(exact.answer(images))
            singles = [tensors_of(exact.answer(image)) for image in images.split(1)]
        for name, values in together.items():
            torch.testing.assert_close(values, torch.cat([single[name] for single in singles]), rtol=1e-6, atol=1e-6)

    def test_any_layout_in_memory(self, exact: Subject) -> None:
        image = photo().double()
        wide = torch.zeros(1, 3, 2 * WIDTH, HEIGHT + 3, dtype=torch.float64)
        scattered = wide[:, :, ::2, 2:-1].transpose(2, 3)
        scattered.copy_(image)
        assert not scattered.is_contiguous()
        with torch.no_grad():
            expected = exact.answer(image.clone()).image
            for given in (scattered, image.contiguous(memory_format=torch.channels_last)):
                before = given.clone()
                torch.testing.assert_close(exact.answer(given).image, expected, rtol=1e-6, atol=1e-6)
                assert torch.equal(given, before), "the image was changed"
            weights = replace(exact, network=deepcopy(exact.network).to(memory_format=torch.channels_last))
            torch.testing.assert_close(weights.answer(image).image, expected, rtol=1e-6, atol=1e-6)

    def test_the_callers_default_device_is_of_no_account(self, subject: Subject) -> None:
        image = photo()
        with torch.no_grad():
            expected = subject.answer(image).image
            with torch.device("meta"):
                assert torch.equal(subject.answer(image).image, expected)

    def test_finish_works_pixel_by_pixel(self, subject: Subject) -> None:
        method, image = subject.method, photo()
        with torch.no_grad():
            maps = method.predict(subject.network, image, **example_of(method, HEIGHT, WIDTH))
            whole = tensors_of(method.finish(maps, subject.config))
            part = tensors_of(method.finish({name: values[..., 5:20, 9:31] for name, values in maps.items()}, subject.config))
        for name, values in part.items():
            torch.testing.assert_close(values, whole[name][..., 5:20, 9:31])

    def test_gradients(self, subject: Subject) -> None:
        subject.network.zero_grad()
        subject.answer(photo(32, 32)).image.square().mean().backward()
        learning = [parameter for parameter in subject.network.parameters() if parameter.requires_grad]
        reached = [parameter.grad for parameter in learning if parameter.grad is not None]
        assert all(gradient.isfinite().all() for gradient in reached)
        assert sum(bool(gradient.any()) for gradient in reached) > 0.5 * len(learning)

    def test_bfloat16_comes_close(self, subject: Subject) -> None:
        exact, psnr = subject.in_bfloat16(photo(40, 48))
        assert psnr > 40
        assert psnr + 20 * torch.log10(exact.max() - exact.min()) > 30, "most of what varies is lost"

    def test_the_halo_holds_all_that_matters(self, exact: Subject) -> None:
        """What lies farther changes nothing; where there is no halo, what lies far away does."""
        tiling = exact.method.tiling(exact.config)
        block, halo = tiling.multiple, 96 if tiling.halo is None else tiling.halo
        if halo > FARTHEST:
            pytest.skip(f"reaches {halo} pixels")
        image = photo(max(16, block), 2 * block + halo + 8).double()
        other = image.clone()
        other[..., block + halo :] = 1 - other[..., block + halo :]
        with torch.no_grad():
            measured = exact.method.measure(image)
            near, far = ((exact.answer(one, **measured).image)[..., :block] for one in (image, other))
        assert torch.allclose(near, far, rtol=1e-9, atol=1e-9) == (tiling.halo is not None)


@pytest.mark.parametrize("name", [name for name in list_methods() if reach_of(name) <= 64])
def test_tiles_give_what_the_whole_gives(name: str) -> None:
    subject = subject_of(name)
    side = least_side(subject.method.tiling(subject.config), reach_of(name))
    options = {"device": "cpu", "precision": "fp32"}
    whole, tiled = (
        Restorer(subject.method, subject.config, subject.network, **options, **cut)
        for cut in ({}, {"tile": side, "overlap": reach_of(name)})
    )
    image = picture(side + 11, side + side // 2)
    given = subject.method.example_extras(*image.shape[:2])
    found = tiled(image, **given)
    assert found.run.tiles > 1
    assert abs(found.to_array() - whole(image, **given).to_array()).max() < 1e-4


@pytest.mark.parametrize("name", list_models())
def test_bfloat16_of_a_shipped_model_comes_close(name: str) -> None:
    """Weights that were taught, on a photograph."""
    card = load_card(name)
    pixels = images.to_float(images.read(EXAMPLES / "kitten.jpg").pixels[160:288, 240:400])
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
    _, psnr = Subject(card.restoration_method(), card.parsed_config(), load_network(card)).in_bfloat16(image)
    assert psnr > 40


class TestImport:
    def check(self, method: Method[Any], config: Any, folder: Path) -> Any:
        """Weights saved as authors do, under the names of a parallel run, come back as they were, and so do answers. Gives the
        configuration that was read off them.
        """
        network = filled(method, config)
        state = network.state_dict()
        file = folder / "net_g_latest.pth"
        torch.save({"params_ema": {f"module.{key}": value for key, value in state.items()}, "iter": 1000}, file)
        card = import_checkpoint([file], folder / "mine.toml")
        assert card.method == method.name and card.training["entry"].startswith("params_ema")
        back = load_network(card)
        assert all(torch.equal(value, back.state_dict()[key]) for key, value in state.items())
        image, extras = photo(32, 32), example_of(method, 32, 32)
        with torch.no_grad():
            expected, found = (method.predict(one, image, **extras) for one in (network, back))
        assert all(torch.equal(expected[name], found[name]) for name in expected)
        return card.parsed_config()

    @pytest.mark.parametrize("name", list_methods())
    def test_compact(self, name: str, tmp_path: Path) -> None:
        method = get_method(name)
        self.check(method, method.presets["compact"], tmp_path)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", list_methods())
    def test_paper(self, name: str, tmp_path: Path) -> None:
        method = get_method(name)
        assert self.check(method, method.presets["paper"], tmp_path) == method.presets["paper"]
