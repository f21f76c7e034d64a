"""The second stage of ``multi-output``: a kernel that is right explains the photograph, and deconvolution by it restores it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from kornia.color import linear_rgb_to_rgb, rgb_to_linear_rgb
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from restorekit.errors import SettingError
from restorekit.layers import convolve_circular, transfer_function
from restorekit.layers.windows import Windows
from restorekit.methods import Batch
from restorekit.methods.multi_output import METHOD, DeconvolutionConfig, MultiOutputConfig, deconvolution
from restorekit.methods.multi_output.caution import cautious
from restorekit.methods.multi_output.deconvolution import (
    BlindDeconvolution,
    Scales,
    Surroundings,
    fade,
    put_back,
    unexplained,
    valid_pixels,
    windows_of,
)
from restorekit.methods.multi_output.kernels import Estimate, KernelEstimator
from restorekit.training import load_recipe
from restorekit.training.learner import Learner
from restorekit.zoo import load_card, load_network
from tests.methods.test_registry import filled

STAGE = DeconvolutionConfig(
    window=64, support=9, width=8, edge_width=4, edge_versions=2, refinements=1, scales_width=4, surroundings=2
)
SMALL = MultiOutputConfig(
    width=4,
    enc_blk_nums=(1, 1),
    middle_blk_num=1,
    dec_blk_nums=(1, 1),
    n_heads=2,
    train_size=(16, 16),
    answer="cautious",
    deconvolution=STAGE,
)
PHOTOGRAPH = Path(__file__).parents[2] / "examples" / "lighthouse.jpg"


@pytest.fixture(scope="module")
def sharp() -> Tensor:
    """A part of a photograph, ``(1, 3, 144, 176)``, none of it clipped; what is blurred of it has 8 pixels less on each side."""
    with Image.open(PHOTOGRAPH) as file:
        pixels = np.asarray(file.convert("RGB").reduce(2))[-150:-6, 40:216]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255 * 0.9


def streak() -> Tensor:
    """A bent path of light, ``(1, 1, 9, 9)``, whose centre of light is in the middle."""
    kernel = torch.zeros(1, 1, 9, 9)
    for row, column, light in ((6, 1, 0.2), (5, 2, 0.1), (4, 3, 0.1), (4, 4, 0.2), (4, 5, 0.1), (3, 6, 0.1), (2, 7, 0.2)):
        kernel[..., row, column] = light
    return kernel


def blurred(scene: Tensor, kernel: Tensor) -> Tensor:
    """What a camera sees of the middle of the scene."""
    return middle(linear_rgb_to_rgb(convolve_circular(rgb_to_linear_rgb(scene), kernel).clamp(0, 1)))


def middle(scene: Tensor) -> Tensor:
    return scene[..., 8:-8, 8:-8]


def psnr(a: Tensor, b: Tensor) -> float:
    inner = (..., slice(20, -20), slice(20, -20))
    return float(-10 * torch.log10((a[inner] - b[inner]).square().mean()))


def estimated(estimator: KernelEstimator, image: Tensor, guess: Tensor) -> Estimate:
    return estimator(rgb_to_linear_rgb(image), rgb_to_linear_rgb(guess), estimator.edges(image, guess))


def dot() -> Tensor:
    return F.pad(torch.ones(1, 1, 1, 1), (4, 4, 4, 4))


def test_putting_back_is_wieners_filter_of_what_the_answer_misses() -> None:
    torch.manual_seed(0)
    light, known, kernel = torch.rand(2, 3, 20, 28).double(), torch.rand(2, 3, 20, 28).double(), torch.rand(2, 1, 5, 5).double()
    kernel = kernel / kernel.sum((2, 3), keepdim=True)
    valid, noise = (torch.rand(2, 1, 20, 28) > 0.2).double(), torch.tensor([0.1, 0.01]).double().view(2, 1, 1, 1)
    again = convolve_circular(F.pad(known, (4,) * 4, mode="replicate"), kernel)[..., 4:-4, 4:-4]
    spectrum = transfer_function(kernel, 28, 36)
    missing = torch.fft.rfft2(F.pad((light - again) * valid, (4,) * 4))
    expected = torch.fft.irfft2(missing * spectrum.conj() / (spectrum.abs() ** 2 + noise), s=(28, 36))[..., 4:-4, 4:-4]
    once, other = put_back(light, known, valid, kernel, (noise, 2 * noise))
    assert torch.allclose(once, expected, atol=1e-12) and not torch.allclose(other, expected, atol=1e-3)


def test_the_right_kernel_restores_and_a_wrong_one_does_not(sharp: Tensor) -> None:
    image = blurred(sharp, streak())
    light, valid, noise = rgb_to_linear_rgb(image), valid_pixels(image), torch.full((1, 1, 1, 1), 1e-2)

    def restored(kernel: Tensor) -> Tensor:
        return linear_rgb_to_rgb((light + put_back(light, light, valid, kernel, (noise,))[0]).clamp(0, 1))

    before = psnr(image, middle(sharp))
    assert psnr(restored(streak()), middle(sharp)) > before + 3
    assert psnr(restored(streak().flip(3)), middle(sharp)) < before
    assert torch.allclose(restored(dot()), image, atol=1e-5), "what a point explains is left alone"


def test_nothing_is_put_back_where_pixels_are_clipped() -> None:
    image = torch.full((1, 3, 16, 16), 0.5)
    image[..., 4:8, 4:8] = 1.0
    assert valid_pixels(image).sum() == 16 * 16 - 16
    (nothing,) = put_back(image, 1 - image, torch.zeros(1, 1, 16, 16), dot(), (torch.full((1, 1, 1, 1), 0.1),))
    assert nothing.abs().max() == 0


def test_corrections_fade_at_the_border() -> None:
    weights = fade(torch.zeros(1, 3, 20, 30), 4)
    assert weights.shape == (20, 30) and weights[4:-4, 4:-4].min() == 1
    assert weights[0].unique().tolist() == pytest.approx([0.2])
    assert weights[10, :6].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_a_kernel_is_measured_by_what_it_leaves_unexplained(sharp: Tensor) -> None:
    image = blurred(sharp, streak())
    errors = [float(unexplained(kernel[:, 0], middle(sharp), image)) for kernel in (streak(), dot(), streak().flip(3))]
    assert errors[0] == pytest.approx(10 * np.log10(3e-5), abs=0.2), "nothing but the rounding of the wrong border"
    assert errors[1] > errors[0] + 8 and errors[2] > errors[0] + 8


def test_a_fresh_estimator_finds_the_kernel_if_the_answer_is_true(sharp: Tensor) -> None:
    """Least squares do, and networks that have learnt nothing change nothing."""
    torch.manual_seed(0)
    image = blurred(sharp, streak())
    estimator = KernelEstimator(9, 8, 4, 2, 1)
    with torch.no_grad():
        estimate = estimated(estimator, image, middle(sharp))
    first, last = estimate.kernels
    assert last.equal(first) and float(last.sum()) == pytest.approx(1) and last.min() >= 0
    left, of = (float(unexplained(kernel[:, 0], middle(sharp), image)) for kernel in (last, dot()))
    assert left < of - 6
    assert float(estimate.trust) == 0.5 and float(estimate.noise) == pytest.approx(np.exp(-4))


def test_no_verdict_is_final(sharp: Tensor) -> None:
    """However sure it is, gradients reach it."""
    image = middle(sharp)
    estimator = KernelEstimator(9, 8, 4, 2, 1)
    with torch.no_grad():
        estimator.judge[-1].bias.fill_(-9.0)
    trust = estimated(estimator, image, image).trust
    trust.sum().backward()
    assert float(trust.detach()) == pytest.approx(0.0183, abs=2e-3) and estimator.judge[-1].bias.grad.abs()[1] > 1e-4


def test_edges_that_run_away_stay_within_bounds_and_kernels_can_still_be_improved(sharp: Tensor) -> None:
    """Least squares do not feel how large edges are. Once they were a million, planes of them nothing, and what the kernel leaves
    unexplained, in shares of nothing, drowned all else: no step that improves kernels learnt any more.
    """
    torch.manual_seed(0)
    image = blurred(sharp, streak())
    estimator = KernelEstimator(9, 8, 4, 2, 1)
    seen: list[Tensor] = []
    estimator.improve[0].register_forward_pre_hook(lambda _, inputs: seen.extend(inputs))
    with torch.no_grad():
        estimator.edges.network.ending.weight.normal_(std=1e6)
        assert estimator.edges(image, image)[:, :2].abs().max() <= 0.3
    kernels = estimated(estimator, image, image).kernels
    planes, sizes = seen
    assert planes.abs().max() <= 6 and sizes.abs().max() < 20
    unexplained(kernels[-1][:, 0], middle(sharp), image).sum().backward()
    assert estimator.improve[0].ending.weight.grad.abs().max() > 1e-3


def test_a_stage_learns_kernels(sharp: Tensor) -> None:
    torch.manual_seed(0)
    image = blurred(sharp, streak())
    estimator = KernelEstimator(9, 16, 8, 2, 1)
    optimiser = torch.optim.Adam(estimator.parameters(), 2e-3)
    errors = []
    for _ in range(25):
        kernels = estimated(estimator, image, image).kernels  # the answer is the photograph: as bad as it gets
        loss = torch.stack([unexplained(kernel[:, 0], middle(sharp), image).mean() for kernel in kernels]).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        errors.append(float(unexplained(kernels[-1].detach()[:, 0], middle(sharp), image)))
    assert errors[-1] < errors[0] - 3


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 40), (64, 64), (70, 131)])
def test_heads_of_any_size_are_corrected_alike(height: int, width: int) -> None:
    torch.manual_seed(0)
    stage = BlindDeconvolution(STAGE).eval()
    image, heads = torch.rand(2, 3, height, width), torch.rand(2, 3, 3, height, width)
    with torch.no_grad():
        passes = stage(image, heads)
    assert len(passes) == 2
    for found in passes:
        change = found.heads - heads
        assert change.shape == heads.shape and torch.allclose(change, change[:, :1].expand_as(change), atol=1e-6)
        assert found.kernels.shape[1:] == (2, 9, 9) and found.inverted.shape == image.shape


def test_each_pass_goes_on_from_the_mean_that_the_one_before_it_gave() -> None:
    torch.manual_seed(0)
    image, heads = torch.rand(2, 3, 64, 96), torch.rand(2, 3, 3, 64, 96)
    twice, once = BlindDeconvolution(STAGE).eval(), BlindDeconvolution(replace(STAGE, passes=1)).eval()
    once.load_state_dict(twice.state_dict())
    with torch.no_grad():
        first, second = twice(image, heads)
        (alone,) = once(image, heads)
        (again,) = once(image, heads - heads.mean(1, keepdim=True) + first.heads.mean(1, keepdim=True))
    assert alone.heads.equal(first.heads)
    assert torch.allclose(second.heads, again.heads, atol=1e-4) and torch.allclose(second.kernels, again.kernels, atol=1e-4)
    assert (second.heads - first.heads).abs().max() > 1e-3


def test_no_pass_is_taught_by_what_came_of_it_later() -> None:
    """But the network whose heads are corrected is taught by the first."""
    torch.manual_seed(0)
    stage = BlindDeconvolution(STAGE)
    heads = torch.rand(1, 2, 3, 64, 64, requires_grad=True)
    first, second = stage(torch.rand(1, 3, 64, 64), heads)
    (later,) = torch.autograd.grad(second.heads.mean(), heads, retain_graph=True)  # how far apart they lie is no matter here
    assert later.abs().max() < 1e-9
    (own,) = torch.autograd.grad(first.heads.mean(), heads)
    assert own.abs().min() > 1e-7


def test_doubt_moves_heads_apart_and_leaves_their_mean() -> None:
    torch.manual_seed(0)
    stage = BlindDeconvolution(replace(STAGE, passes=1)).eval()
    image, heads = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 3, 64, 64)
    with torch.no_grad():
        as_they_are = stage(image, heads)[0].heads
        stage.scales.network.ending.bias[5] = 1.0
        apart = stage(image, heads)[0].heads
    assert torch.allclose(apart.mean(1), as_they_are.mean(1), atol=1e-6)
    assert torch.allclose(apart.std(1), np.exp(3 * np.tanh(1 / 3)) * as_they_are.std(1), atol=1e-5)


def test_what_was_found_is_weighed_pixel_by_pixel() -> None:
    """A network that has learnt nothing takes 0.18 of each inversion everywhere; one that writes takes what it writes."""
    torch.manual_seed(0)
    scales = Scales(4, 2).eval()
    image, mean, spread, found = (torch.rand(2, channels, 12, 16) for channels in (3, 3, 1, 7))
    with torch.no_grad():
        share = 1 / (1 + np.exp(1.5))
        correction, doubt = scales(image, mean, spread, found)
        assert torch.allclose(correction, share * (found[:, :3] + found[:, 3:6]), atol=1e-6)
        assert doubt.shape == (2, 1, 12, 16) and doubt.eq(1).all()
        scales.network.ending.bias.copy_(torch.tensor([60.0, -60.0, 1.0, 2.0, 3.0, -60.0]))
        added = torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)
        correction, doubt = scales(image, mean, spread, found)
        assert torch.allclose(correction, found[:, :3] + added, atol=1e-6)
        assert doubt.max() == doubt.min() == pytest.approx(np.exp(-3)), "doubt has an end"
        scales.network.ending.weight.normal_()
        before, _ = scales(image, mean, spread, found)
        changed = found.clone()
        changed[:, :, :, 15] += 1.0
        after, _ = scales(image, mean, spread, changed)
    assert before[..., 12:].ne(after[..., 12:]).all(), "neighbours are seen"


def test_surroundings_tell_of_what_is_far_but_not_of_everything() -> None:
    torch.manual_seed(0)
    surroundings = Surroundings(3, 8, 2).eval()
    maps = torch.rand(1, 3, 36, 404)
    other = maps.clone()
    other[..., 399:] = 9.0
    with torch.no_grad():
        assert surroundings(maps).shape == (1, 2, 36, 404) and surroundings(maps).eq(0).all(), "nothing, until it has learnt"
        surroundings.told[-1].weight.normal_()
        change = (surroundings(maps) - surroundings(other)).abs().amax((0, 1, 2))
    assert change[:260].eq(0).all() and change[290:].gt(0).all()


def test_a_right_kernel_is_put_back_twice_and_the_second_time_with_more_caution(sharp: Tensor) -> None:
    image = blurred(sharp, streak())
    stage = BlindDeconvolution(replace(STAGE, window=256)).eval()
    first = Estimate((streak(),), torch.full((1, 1, 1, 1), 5e-3), torch.full((1, 1, 1, 1), 0.7))
    with patch.object(stage.kernels, "forward", return_value=first), torch.no_grad():
        kernels, found = stage.find(image, image)
    fine, coarse = (psnr(image + found[:, i : i + 3], middle(sharp)) for i in (0, 3))
    assert kernels.equal(streak()) and fine > coarse + 1 > psnr(image, middle(sharp)) + 2
    assert float(found[0, 6, 0, 0]) == pytest.approx(0.7 / 5) and float(found[0, 6, 60, 60]) == pytest.approx(0.7)


def test_each_window_stands_for_itself() -> None:
    torch.manual_seed(0)
    stage = BlindDeconvolution(STAGE).eval()
    image = torch.rand(1, 3, 64, 128)
    windows = windows_of(image, 64)
    assert windows.size == (64, 72) and windows.corners == [(0, 0), (0, 56)]
    other = image.clone()
    other[..., 100:] = torch.rand(1, 3, 64, 28)
    with torch.no_grad():
        first, second = (stage(each, image[:, None] * 0.9)[0].heads for each in (image, other))
    assert torch.allclose(first[..., :56], second[..., :56], atol=1e-6)
    assert not torch.allclose(first[..., 56:100], second[..., 56:100], atol=1e-4)


def test_windows_are_taken_in_portions_that_do_not_show() -> None:
    torch.manual_seed(0)
    stage = BlindDeconvolution(STAGE).eval()
    image, heads = torch.rand(1, 3, 160, 192), torch.rand(1, 2, 3, 160, 192)
    with torch.no_grad():
        whole = stage(image, heads)[-1]
        with patch.object(deconvolution, "AT_ONCE", 3):
            portioned = stage(image, heads)[-1]
    assert whole.kernels.shape[0] == 12
    assert torch.allclose(portioned.heads, whole.heads, atol=1e-5)
    assert torch.allclose(portioned.kernels, whole.kernels, atol=1e-5)


def test_the_network_gives_kernels_where_they_are_asked_for() -> None:
    torch.manual_seed(0)
    network = METHOD.build(SMALL).eval()
    image = torch.rand(1, 3, 48, 52)
    with torch.no_grad():
        first, last = network(image, every_pass=True)
        assert network(image).equal(last.heads) and METHOD.predict(network, image)["heads"].equal(last.heads.flatten(1, 2))
    assert first.kernels.shape == last.kernels.shape == (1, 2, 9, 9) and not first.kernels.equal(last.kernels)
    assert METHOD.tiling(SMALL).halo is None and METHOD.tiling(SMALL).minimum == 64
    assert METHOD.tiling(replace(SMALL, deconvolution=None)).halo is not None
    assert METHOD.longest_exported_side(replace(SMALL, deconvolution=None)) is None
    longest = METHOD.longest_exported_side(SMALL)
    assert longest is not None and Windows(longest, longest, (64, 16)).corners == [(0, 0)]


def test_a_graph_gives_pytorchs_numbers_at_sizes_of_one_window() -> None:
    for module in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(module)
    from restorekit.export.exporting import export_network

    facts, _, checks = export_network(METHOD, SMALL, filled(METHOD, SMALL), "tiny")
    assert facts.longest == 84 and len({check.size for check in checks}) == 3
    assert max(check.error for check in checks) < 1e-4


def test_the_stage_is_taught_by_every_pass_in_like_measure() -> None:
    torch.manual_seed(0)
    network = METHOD.build(SMALL)
    batch = Batch(torch.rand(2, 3, 64, 96), torch.rand(2, 3, 64, 96), {})
    settings = {"kernel_weight": 0.5, "inverted_weight": 2.0, "weight": 0.0, "mean_weight": 0.5, "cautious_weight": 3.0}
    losses = METHOD.objective(SMALL, settings)(network, batch)
    windows = windows_of(batch.input, 64)
    image, target = windows.cut(batch.input), windows.cut(batch.target)

    def score(answer: Tensor) -> Tensor:
        return (10 * torch.log10((answer - batch.target).square().mean((1, 2, 3)) + 1e-8)).mean()

    expected: dict[str, list[Tensor]] = {"kernels": [], "inverted": [], "mean": [], "cautious": []}
    for found in network(batch.input, every_pass=True):
        expected["kernels"].append(0.5 * sum(unexplained(found.kernels[:, i], target, image).mean() for i in range(2)))
        expected["inverted"].append(2 * score(found.inverted))
        mean, variance = found.heads.mean(1), found.heads.var(1).mean(1, keepdim=True)
        expected["mean"].append(0.5 * score(mean))
        expected["cautious"].append(3 * score(cautious(batch.input, mean, variance, SMALL.doubt)))
    assert losses.keys() == {*expected, "psnr"} and losses["psnr"] == 0
    for name, of_passes in expected.items():
        assert float(losses[name].detach()) == pytest.approx(float(torch.stack(of_passes).mean().detach()), rel=1e-5), name


def test_the_shipped_recipe_teaches_the_stage_and_nothing_else() -> None:
    recipe = load_recipe("multi-output-deconvolution", ["train.steps=1"])
    learner = Learner(recipe, METHOD, recipe.method_config(), Fabric(accelerator="cpu", devices=1))
    learning = {name.partition(".")[0] for name, weights in learner.network.named_parameters() if weights.requires_grad}
    assert learning == {"deconvolution"}
    start = load_network(load_card("multi-output-compact")).state_dict()
    assert all(learner.network.state_dict()[key].equal(value) for key, value in start.items())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"support": 8}, "odd"),
        ({"window": 100}, "four times"),
        ({"window": 260}, "multiple of 8"),
        ({"scales_width": 0}, "at least 1"),
        ({"passes": 0}, "at least 1"),
    ],
)
def test_shapes_that_are_none_are_refused(changes: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(DeconvolutionConfig(), **changes)


def test_a_stage_needs_nafnet_and_its_loss_a_stage() -> None:
    with pytest.raises(ValueError, match="after NAFNet alone"):
        MultiOutputConfig(backbone="hinet", deconvolution=STAGE)
    with pytest.raises(SettingError, match="this network has none"):
        METHOD.objective(replace(SMALL, deconvolution=None), {"inverted_weight": 1.0})
