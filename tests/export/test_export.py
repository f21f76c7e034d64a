"""Exported graphs give PyTorch's numbers, alone and in the engine, without PyTorch too; what is no model of ours is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from restorekit.errors import CardError, NumericalError, SettingError, UnknownNameError, UsageError
from restorekit.export import checking, export
from restorekit.export.checking import check_graph
from restorekit.export.exporting import _sizes, export_network
from restorekit.export.graph import Predictor, make_graph
from restorekit.inference import Restorer, onnx_backend
from restorekit.inference.onnx_backend import OnnxBackend, resolve_provider
from restorekit.inference.tiling import plan_of_size
from restorekit.layers.fourier import FourierProducts, Spectra
from restorekit.methods import Tiling, get_method, list_methods
from restorekit.methods.deeprft.blocks import Means, NAFEVSBlock
from restorekit.zoo import list_models, load_card
from restorekit.zoo.onnx_file import OnnxFacts, import_runtime, read_facts
from tests.inference.networks import picture
from tests.methods.test_registry import filled
from tests.tiny import write_other_card

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

TINY: dict[str, dict[str, Any]] = {
    "cbsn": {"filters": 4, "num_module": 1, "tail_channels": 4},
    "dcpi-depth": {"dims": (8, 8, 8), "dilation": ((1,), (1,), (1,)), "heads": (2, 2, 2), "height": 192, "width": 320},
}


FEWER: dict[str, dict[str, Any]] = {
    "deeprft": {
        "enc_max_layers": ((1, 1, 1), (1, 1, 1)),
        "dec_max_layers": ((1, 1, 1), (1, 1, 1)),
        "enc_mid_layers": ((1, 1, 1), (1, 1, 1)),
        "dec_mid_layers": ((1, 1, 1), (1, 1, 1)),
    },
    "histoformer": {"num_blocks": (1, 1, 1, 1)},
    "multi-output": {"enc_blk_nums": (1, 1, 1, 1)},
}
"""Blocks of compact networks that are left out."""

BODY = {"use_body": True, "hyper_levels": 2, "depths": (2, 2), "heads": (4, 4)}
"""The transformer that rrformer's compact network does without."""


@pytest.mark.parametrize("name", ["cbsn"])
def test_graphs_of_any_size_give_pytorchs_numbers(name: str) -> None:
    method = get_method(name)
    config = method.config_type(**TINY[name])
    facts, _, checks = export_network(method, config, filled(method, config), name)
    assert len({check.size for check in checks}) == 3 and facts.size is None
    assert max(check.error for check in checks) < 1e-5


def test_the_pose_network_is_a_graph_of_its_own(tmp_path: Path) -> None:
    method = get_method("dcpi-depth")
    config = method.config_type(**TINY["dcpi-depth"], pose="light")
    network = filled(method, config).requires_grad_(False)
    network.pose.net[-1].weight.mul_(1000)  # so that the camera turns by much
    facts, data, checks = export_network(method, config, network, "tiny-depth", part="pose")
    assert len({check.size for check in checks}) == 3 and max(check.error for check in checks) < 1e-6
    assert facts.part == "pose" and facts.maps == ("axis_angle", "translation", "matrix") and facts.extra_inputs == ()
    first, second = (torch.from_numpy(picture(70, 90)[None]).permute(0, 3, 1, 2).roll(shift, 3) for shift in (0, 5))
    session = import_runtime().InferenceSession(data, providers=["CPUExecutionProvider"])
    found = session.run(None, {"first": first.numpy(), "second": second.numpy()})
    expected = method.predict_pose(network, first, second)
    assert [values.shape for values in found] == [(1, 3), (1, 3), (1, 4, 4)] and expected.axis_angle.abs().max() > 0.1
    for values, name in zip(found, facts.maps, strict=True):
        np.testing.assert_allclose(values, getattr(expected, name), atol=1e-5)
    path = tmp_path / "pose.onnx"
    path.write_bytes(data)
    with pytest.raises(CardError, match="only the pose network of tiny-depth"):
        Restorer.from_card(path)


@pytest.mark.parametrize(("name", "said"), [("cbsn", "it has none"), ("dcpi-depth", "it has pose")])
def test_a_part_that_is_not_there_is_refused(name: str, said: str) -> None:
    method = get_method(name)
    config = method.config_type(**TINY[name])
    with pytest.raises(SettingError, match=said):
        export_network(method, config, method.build(config), name, part="nose")


@pytest.mark.parametrize("name", list_models())
def test_a_shipped_model_is_tried_at_sizes_its_graph_may_have(name: str) -> None:
    """And the engine's smallest tile is none too large for it."""
    card = load_card(name)
    method, config = card.restoration_method(), card.parsed_config()
    longest = method.longest_exported_side(config) or 2**16
    assert max(max(size) for size in _sizes(method, config, None)) <= longest
    assert method.tiling(config).minimum <= longest


def test_a_block_with_a_selective_scan_is_a_graph_of_any_size() -> None:
    torch.manual_seed(0)
    block = NAFEVSBlock(4, Means(), "transpose").requires_grad_(False)
    for factor in (block.lamb_g, block.beta, block.gamma):  # at first they are 0, and nothing could go wrong
        factor.fill_(0.7)
    alone: Any = SimpleNamespace(name="block", predict=lambda network, image: {"image": network(image)})
    images = [{"image": torch.rand(1, 4, *size)} for size in ((24, 40), (17, 31), (60, 33))]
    predictor = Predictor(alone, block, images[0])
    graph = make_graph(predictor, images[0], dynamic=True, opset=20)
    assert [node.op_type for node in graph.graph.node].count("Scan") == 3
    checks = check_graph(graph.SerializeToString(), predictor, images, "fp32")
    assert max(check.error for check in checks) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("name", "more"), [*((name, {}) for name in list_methods()), ("rrformer", BODY)])
def test_compact_networks_of_any_size_give_pytorchs_numbers(name: str, more: dict[str, Any]) -> None:
    """Sorts are as unsteady as their input's rounding: ``own`` is what that does to PyTorch's answer. The largest have fewer of
    the same blocks here, as tracing takes minutes; ``benchmarks/export.py`` measures them whole.
    """
    method = get_method(name)
    config = replace(method.presets["compact"], **FEWER.get(name, {}), **more)
    facts, _, checks = export_network(method, config, filled(method, config).requires_grad_(False), name)
    assert len({check.size for check in checks}) == 3 and facts.size is None
    assert all(check.error < 1e-5 + 4 * check.own for check in checks)


@pytest.mark.parametrize(("height", "width"), [(24, 40), (31, 17)])
def test_products_of_matrices_are_fourier_transforms(height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width, dtype=torch.float64)
    products, spectrum = FourierProducts(height, width, x), torch.fft.rfft2(x)
    real, imaginary = products.forward(x)
    assert torch.allclose(torch.complex(real, imaginary), spectrum, atol=1e-10)
    assert torch.allclose(products.inverse(real, imaginary), x, atol=1e-12)
    around = x.roll((4, 4), (2, 3))[..., :9, :9]
    assert torch.allclose(products.inverse_centred(real, imaginary, 9), around, atol=1e-12)
    assert torch.allclose(Spectra(x).inverse_centred(*Spectra(x).forward(x), 9), around, atol=1e-12)


def test_tiled_onnx_is_tiled_torch(card: Path, model: Path) -> None:
    image = picture(150, 131)
    settings: dict[str, Any] = {"tile": 64, "overlap": 16}
    expected = Restorer.from_card(card, precision="fp32", device="cpu", **settings)(image, candidates=True, spread=True)
    restorer = Restorer.from_card(model, provider="cpu", **settings)
    found = restorer(image, candidates=True, spread=True)
    assert found.run.tiles == expected.run.tiles > 1 and "onnxruntime on cpu" in restorer.device
    np.testing.assert_allclose(found.image.pixels, expected.image.pixels, atol=1e-5)
    np.testing.assert_allclose(found.candidates[1].pixels, expected.candidates[1].pixels, atol=1e-5)
    assert found.spread is not None and expected.spread is not None
    assert abs(found.spread.pixels.astype(int) - expected.spread.pixels).max() <= 1


def test_graph_of_one_size_takes_any_image(card: Path, tmp_path: Path) -> None:
    done = export(load_card(card), tmp_path / "fixed.onnx", size=(64, 96))
    assert done.facts.size == (64, 96) and [check.size for check in done.checks] == [(64, 96)]
    restorer = Restorer.from_card(done.path, overlap=16)
    expected = Restorer.from_card(card, precision="fp32", device="cpu", tile=96, overlap=16)
    large, small = picture(160, 200), picture(40, 50)
    np.testing.assert_allclose(restorer(large).image.pixels, expected(large).image.pixels, atol=2e-3)
    assert restorer(small).image.pixels.shape == (40, 50, 3)


def test_a_graph_smaller_than_the_methods_tiles_tells_what_it_gives(tmp_path: Path) -> None:
    card = write_other_card(tmp_path, "cbsn")
    done = export(load_card(card), tmp_path / "small.onnx", size=(40, 40))
    restorer = Restorer.from_card(done.path)
    assert restorer.method.tiling(restorer.config).minimum > 40
    assert restorer.extras == Restorer.from_card(card, device="cpu").extras


def test_a_cache_that_cannot_be_written_to_costs_only_time(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    real = onnxruntime.InferenceSession

    def session(data: bytes, options: Any, **more: Any) -> Any:
        if options.optimized_model_filepath:
            raise RuntimeError("SystemError : 30, Read-only file system")
        return real(data, options, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    assert Restorer.from_card(model, provider="cpu")(picture(20, 20)).image.pixels.shape == (20, 20, 3)


def test_tiles_of_one_size_cover_the_image() -> None:
    plan = plan_of_size((500, 70), (128, 96), Tiling(4, 8, 8, 16, 1))
    assert plan.tile == (128, 96) and plan.exact and len(plan.columns) == 1
    assert all(row.stop - row.start == 128 for row in plan.rows)
    total = np.zeros(500)
    for row in plan.rows:
        total[row.first : row.last] += row.weights()
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_a_graph_of_any_size_takes_the_smallest_pictures(card: Path, model: Path) -> None:
    graph, network = Restorer.from_card(str(model)), Restorer.from_card(card, precision="fp32", device="cpu")
    for size in ((1, 1), (1, 5), (3, 3), (5, 70), (16, 16)):
        given = picture(*size)
        filled = np.pad(given, [(0, max(0, 32 - side)) for side in size] + [(0, 0)], mode="edge" if 1 in size else "reflect")
        expected = network(filled).image.pixels[: size[0], : size[1]]
        np.testing.assert_allclose(graph(given).image.pixels, expected, atol=1e-5)


def test_tiles_of_one_size_are_neither_changed_nor_wasted(card: Path, tmp_path: Path) -> None:
    path = export(load_card(card), tmp_path / "fixed.onnx", size=(64, 96)).path
    with pytest.raises(SettingError, match="takes tiles of 96x64 pixels only, not of 128"):
        Restorer.from_card(str(path), tile=128)
    backend = OnnxBackend(path)
    backend.facts = replace(backend.facts, longest=80)  # as of methods whose graphs serve no larger pictures
    own = load_card(card)
    for tile in (None, 96):
        restorer = Restorer(own.restoration_method(), own.parsed_config(), backend, tile=tile)
        assert restorer(picture(100, 200)).run.tile == (64, 96)
    with pytest.raises(SettingError, match="an overlap of 31 pixels leaves less than half of a tile of 96x64"):
        Restorer.from_card(str(path), overlap=31)(picture(100, 200))


ALONE = """
import sys
sys.argv = ["restorekit", "infer", "--model", *sys.argv[1:]]
from restorekit.cli import main
try:
    main()
except SystemExit as leaving:
    assert not leaving.code, leaving.code
print("MODULES", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""

SLOW_TO_IMPORT = {"torch", "torchvision", "torchmetrics", "lightning", "kornia", "onnx", "onnxscript", "cv2", "scipy", "sympy"}


def test_neither_torch_nor_anything_else_that_is_slow_to_import_is_needed(model: Path, tmp_path: Path) -> None:
    """What that leaves in seconds is measured by ``benchmarks/starting.py``."""
    photo, out = tmp_path / "photo.png", tmp_path / "out.png"
    Image.fromarray((picture(80, 90) * 255).astype(np.uint8)).save(photo)
    arguments = [sys.executable, "-c", ALONE, str(model), str(photo), "-o", str(out)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    imported = set(done.stderr.rpartition("MODULES")[2].split())
    assert "onnxruntime" in imported and not imported & SLOW_TO_IMPORT
    assert Image.open(out).size == (90, 80)


def test_optimised_graph_is_kept_and_a_damaged_one_made_again(model: Path, cache: Path) -> None:
    tile = picture(64, 64).transpose(2, 0, 1)[None]
    first = OnnxBackend(model, "cpu").run(tile)
    (kept,) = cache.glob("*.optimised.onnx")
    kept.write_bytes(b"damaged")
    again = OnnxBackend(model, "cpu").run(tile)
    assert np.array_equal(first["heads"], again["heads"]) and kept.stat().st_size > 1000
    assert [path.name for path in cache.iterdir()] == [kept.name]


def test_card_runs_in_onnxruntime_and_is_exported_once(card: Path, cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = Restorer.from_card(card, backend="onnx")
    (kept,) = (path for path in cache.glob("*.onnx") if "optimised" not in path.name)
    written = kept.stat().st_mtime_ns
    assert "onnxruntime" in first.device and "this can take minutes" in caplog.text
    caplog.clear()
    Restorer.from_card(card, backend="onnx")
    assert kept.stat().st_mtime_ns == written and not caplog.records


def test_a_provider_that_does_not_start_gives_way_unless_it_was_asked_for(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = import_runtime()
    monkeypatch.setattr(runtime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(onnx_backend, "import_runtime", lambda: runtime)
    assert resolve_provider("auto") == ["cuda", "cpu"]
    assert OnnxBackend(model).device.provider == "cpu"
    (told,) = caplog.messages
    assert "cuda" in told and told.endswith("cpu runs instead")
    with pytest.raises((CardError, SettingError), match="cuda"):
        OnnxBackend(model, "cuda")


def test_all_of_a_tiling_is_told() -> None:
    tiling = Tiling(16, None, 32, 128, 1000, anchor=64)
    facts = OnnxFacts("1", "x", "histoformer", ("weather",), {}, ("image",), 16, 32, 128, 1000, anchor=64)
    assert read_facts(Path("x.onnx"), facts.to_properties()).tiling() == tiling


def test_a_card_is_read_without_onnxruntime(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert load_card(model).method == "multi-output"


def test_a_blur_kernel_of_any_size_passes_the_check_and_fits_a_graph_of_one_size() -> None:
    class Shift:
        """Adds the sum of squares of its PSF, if the PSF may have any size."""

        extra_inputs = ("psf",)

        def predict(self, network: Any, image: torch.Tensor, psf: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"image": network(image) + psf.square().sum()}

    method: Any = Shift()
    given = [{"image": torch.rand(1, 3, 24, 32), "psf": torch.rand(1, 1, *size)} for size in ((3, 3), (7, 13))]
    predictor = Predictor(method, torch.nn.Conv2d(3, 3, 1), given[0])
    graph = make_graph(predictor, given[0], dynamic=False, opset=20)
    assert max(check.error for check in check_graph(graph.SerializeToString(), predictor, given, "fp32")) < 1e-4


def test_nothing_is_left_where_a_check_fails(card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(checking._TOLERANCE, "fp32", -1.0)
    with pytest.raises(NumericalError, match="differs from PyTorch's"):
        export(load_card(card), tmp_path / "out" / "wrong.onnx", size=(64, 64))
    assert not list(tmp_path.rglob("*.onnx"))


def test_half_precision_is_near(card: Path, tmp_path: Path) -> None:
    done = export(load_card(card), tmp_path / "half.onnx", size=(64, 64), precision="fp16")
    assert 0 < done.error < 1e-2
    assert Restorer.from_card(done.path).precision == "fp16"


def test_what_is_not_finite_in_a_file_of_half_precision_is_told(card: Path, tmp_path: Path) -> None:
    path = export(load_card(card), tmp_path / "half.onnx", size=(64, 64), precision="fp16").path
    backend = OnnxBackend(path)
    with pytest.raises(NumericalError, match="not finite in fp16"):
        backend.in_float32()


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07" + bytes(100)])
def test_what_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(CardError):
        load_card(path)
    with pytest.raises(CardError):
        load_card(tmp_path / "missing.onnx")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (None, "", "was not written by"),
        ("method", '"nonsense"', "unknown method"),
        ("config", '{"width": -1}', "config"),
        ("multiple", "0", "at least 1"),
        ("maps", "[]", "no output"),
        ("size", "[1", "damaged"),
    ],
)
def test_properties_that_do_not_hold_are_refused(model: Path, tmp_path: Path, key: str | None, value: str, said: str) -> None:
    graph = onnx.load(model)
    kept = {entry.key: entry.value for entry in graph.metadata_props}
    changed = {} if key is None else {**kept, f"restorekit.{key}": value}
    del graph.metadata_props[:]
    for name, text in changed.items():
        graph.metadata_props.add(key=name, value=text)
    path = tmp_path / "changed.onnx"
    onnx.save(graph, path)
    with pytest.raises(CardError, match=said):
        load_card(path)


def test_properties_tell_what_a_user_must_know(model: Path) -> None:
    told = {entry.key.removeprefix("restorekit."): json.loads(entry.value) for entry in onnx.load(model).metadata_props}
    assert told["method"] == "multi-output" and told["maps"] == ["heads"] and told["licence"] == "CC0-1.0"
    assert told["value_range"] == [0.0, 1.0] and told["multiple"] == 2 and told["extra_inputs"] == []


def test_a_size_that_is_left_alone_is_named_for_one_that_is_not() -> None:
    method = get_method("dcpi-depth")
    config = method.presets["compact"]
    with pytest.raises(SettingError, match="Take") as refused:
        _sizes(method, config, (256, 256))
    height, width = map(int, str(refused.value).rpartition("Take ")[2].rstrip(".").split("x"))
    assert method.own_size(config, height, width) == (height, width)
    assert _sizes(method, config, (height, width)) == [(height, width)]


def test_folders_are_made_and_names_of_other_files_refused(card: Path, tmp_path: Path) -> None:
    export(load_card(card), tmp_path / "new" / "folder" / "x.onnx", size=(64, 64))
    assert (tmp_path / "new" / "folder" / "x.onnx").is_file()
    with pytest.raises(UsageError, match=r"ends in \.onnx"):
        export(load_card(card), tmp_path / "card.toml", size=(64, 64))
    assert not (tmp_path / "card.toml").exists()


def test_a_file_that_exists_is_replaced_only_if_asked(card: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"another's")
    with pytest.raises(UsageError, match=r"exists.*--overwrite"):
        export(load_card(card), path, size=(64, 64))
    assert path.read_bytes() == b"another's"
    export(load_card(card), path, size=(64, 64), overwrite=True)
    assert path.read_bytes() != b"another's" and [each.name for each in tmp_path.iterdir()] == ["x.onnx"]


def test_settings_that_cannot_be(card: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="multiples of 2"):
        export(load_card(card), tmp_path / "x.onnx", size=(63, 64))
    with pytest.raises(UnknownNameError, match="cuda"):
        resolve_provider("cudo")
    with pytest.raises(SettingError, match="no provider directml"):
        resolve_provider("directml")
    with pytest.raises(SettingError, match="computes in fp32"):
        Restorer.from_card(model, precision="fp16")
    with pytest.raises(CardError, match="PyTorch cannot run"):
        Restorer.from_card(model, backend="torch")


def test_a_provider_that_is_missing_is_told_before_the_export(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restorekit.inference.restorer.exported_card", lambda card: pytest.fail("it was exported"))
    with pytest.raises(SettingError, match="no provider directml"):
        Restorer.from_card(card, backend="onnx", provider="directml")
