"""What networks need beside the image: given by the user, or measured of the whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from torch import Tensor

from restorekit.errors import ImageError, UnknownNameError, UsageError
from restorekit.inference import Restorer
from restorekit.inference.onnx_backend import OnnxBackend
from restorekit.methods import Maps, Tiling
from restorekit.methods.cbsn import METHOD as CBSN
from restorekit.methods.cbsn import CbsnConfig
from restorekit.methods.infwide import METHOD as INFWIDE
from restorekit.methods.infwide import InfwideConfig
from tests.inference.networks import SHORT, Mean3, picture, restorer_of

WIDE = InfwideConfig(feat=4, width=8, n_resblock=1, n_conv=1, denoise=(4, 4, 8, 8))
PSF = np.zeros((5, 5), np.float32)
PSF[2, 1:5] = (1, 3, 2, 2)


@pytest.fixture(scope="module")
def wide() -> Restorer:
    torch.manual_seed(0)
    return Restorer(INFWIDE, WIDE, INFWIDE.build(WIDE), device="cpu", precision="fp32")


def test_a_psf_reaches_the_network(wide: Restorer) -> None:
    image = picture(40, 52)
    found = wide(image, psf=PSF).to_array()
    with torch.no_grad():
        given = torch.from_numpy(image).permute(2, 0, 1)[None]
        maps = INFWIDE.predict(wide._engine.backend.network, given, psf=torch.from_numpy(PSF / 8)[None, None])
    np.testing.assert_allclose(found, maps["image"][0].permute(1, 2, 0).numpy().clip(0, 1), atol=2e-5)
    other = wide(image, psf=np.ascontiguousarray(PSF.T)).to_array()
    assert abs(found - other).max() > 1e-4


def test_a_psf_may_be_a_file_or_an_array_of_any_sum(wide: Restorer, tmp_path: Path) -> None:
    image = picture(40, 52)
    expected = wide(image, psf=PSF).to_array()
    PillowImage.fromarray((PSF * 30).astype(np.uint8)).save(tmp_path / "psf.png")
    np.save(tmp_path / "psf.npy", PSF * 100)
    np.savetxt(tmp_path / "psf.txt", PSF)
    for form in (tmp_path / "psf.png", str(tmp_path / "psf.npy"), tmp_path / "psf.txt", PSF / 8, PSF[None, None]):
        np.testing.assert_allclose(wide(image, psf=form).to_array(), expected, atol=1e-5)


def test_tiles_are_given_the_psf_too() -> None:
    torch.manual_seed(0)
    tiled = Restorer(INFWIDE, WIDE, INFWIDE.build(WIDE), device="cpu", precision="fp32", tile=256, overlap=16)
    image = picture(40, 300)
    found = tiled(image, psf=PSF)
    assert found.run.tiles == 2
    torch.manual_seed(0)
    whole = Restorer(INFWIDE, WIDE, INFWIDE.build(WIDE), device="cpu", precision="fp32")(image, psf=PSF)
    assert abs(found.to_array()[:, :100] - whole.to_array()[:, :100]).mean() < 0.02


def test_where_an_image_clips_may_be_told(wide: Restorer) -> None:
    image = picture(40, 52)
    plain, told = (wide(image, psf=PSF, white=white).to_array() for white in (None, 0.8))
    assert abs(plain - told).max() > 1e-3
    np.testing.assert_array_equal(wide(image, psf=PSF, white=1.0).to_array(), plain)


def test_a_graph_cannot_be_told_where_an_image_clips() -> None:
    graph = object.__new__(OnnxBackend)
    graph.method, graph.path = INFWIDE, Path("wide.onnx")
    with pytest.raises(UsageError, match=r"wide\.onnx is a graph, which cannot be told white"):
        graph.run(np.zeros((1, 3, 8, 8), np.float32), white=np.ones((1, 1, 1, 1), np.float32))


def test_what_the_method_gives_is_known_without_a_psf(wide: Restorer) -> None:
    assert wide.extras == {"features", "denoised", "deconvolved"}


def test_what_is_missing_or_too_much_is_named(wide: Restorer) -> None:
    image = picture(20, 20)
    for given in ({}, {"psf": None}):
        with pytest.raises(UsageError, match=r"infwide needs the blur kernel \(PSF\) of each .*Give psf=.* --kernel PSF\.png"):
            wide(image, **given)
    with pytest.raises(UnknownNameError, match=r"unknown input 'pfs' in what infwide takes. Did you mean 'psf'\?"):
        wide(image, pfs=PSF)
    with pytest.raises(UsageError, match=r"multi-output takes nothing beside the image\. Leave out the blur kernel \(PSF\)"):
        restorer_of(SHORT)(image, psf=PSF)
    with pytest.raises(ImageError, match="none of its values is positive"):
        wide(image, psf=0 * PSF)


class AboveMean(Mean3):
    """The image less the mean of the whole, and how often that was measured."""

    measured = 0

    def tiling(self, config: int) -> Tiling:
        return Tiling(multiple=4, halo=0, overlap=0, minimum=16, bytes_per_pixel=64)

    def measure(self, image: Tensor) -> dict[str, Tensor]:
        type(self).measured += 1
        return {"mean": image.mean((2, 3), keepdim=True)}

    def predict(self, network: torch.nn.Module, image: Tensor, **extras: Tensor) -> Maps:
        return {"image": image - extras["mean"] + 0.5}


@pytest.mark.parametrize("channels", [1, 3])
def test_the_whole_is_measured_once_for_all_tiles(channels: int) -> None:
    method = AboveMean()
    restorer = Restorer(method, 0, method.build(0), device="cpu", tile=32, precision="fp32")
    image = picture(70, 90, channels)
    before = AboveMean.measured
    result = restorer(image)
    assert result.run.tiles > 4 and AboveMean.measured == before + 1
    expected = (image - image.mean((0, 1)) + 0.5).reshape(result.to_array().shape)
    np.testing.assert_allclose(result.to_array(), expected.clip(0, 1), atol=1e-5)


def test_tiles_of_a_network_that_normalises_are_exact() -> None:
    config = CbsnConfig(filters=8, num_module=2, tail_channels=8)
    torch.manual_seed(0)
    network = CBSN.build(config)
    torch.nn.init.constant_(network.conv4.bias, 0.3)
    options = {"device": "cpu", "precision": "fp32"}
    image = picture(90, 150)
    image[:, 100:] *= 0.4  # tiles that measured themselves would see other means
    whole = Restorer(CBSN, config, network, **options)(image).to_array()
    tiled = Restorer(CBSN, config, network, tile=64, **options)(image)
    assert tiled.run.tiles > 1
    assert abs(tiled.to_array() - whole).max() < 1e-5
    assert abs(whole - image).max() > 0.05
