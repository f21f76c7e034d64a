"""Checkpoints of others: read safely, recognised, converted, and refused with reasons."""

from __future__ import annotations

import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from safetensors.torch import save_file
from torch import Tensor

from restorekit.errors import CheckpointError, UnknownNameError, UsageError
from restorekit.methods import get_method
from restorekit.methods.cbsn import CbsnConfig
from restorekit.settings import from_table
from restorekit.zoo import import_checkpoint, load_card, load_network
from restorekit.zoo.checkpoints import find_state_dicts, read_tensors
from restorekit.zoo.importing import recognise
from tests.goldens.recipe import fill
from tests.tiny import TINY

NAFNET = get_method("multi-output")
CONFIG = from_table(NAFNET.config_type, {**TINY, "train_size": [256, 256]}, "test")
State = dict[str, Tensor]


def recipe_state(method: Any = NAFNET, config: Any = CONFIG) -> State:
    own = method.build(config).state_dict()
    return {key: torch.from_numpy(fill(key, tuple(value.shape))) for key, value in own.items()}


@pytest.fixture
def state() -> State:
    return recipe_state()


def zeros(state: State) -> State:
    return {key: torch.zeros_like(value) for key, value in state.items()}


def prefixed(state: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {prefix + key: value for key, value in state.items()}


def optimiser(state: State) -> dict[str, Any]:
    moments = {i: {"step": torch.tensor(5.0), "exp_avg": value} for i, value in enumerate(state.values())}
    return {"state": moments, "param_groups": [{"lr": 1e-3, "params": list(moments)}]}


WAYS: dict[str, tuple[Callable[[State], Any], str]] = {
    "the state dict itself": (dict, ""),
    "params": (lambda s: {"params": s}, "params"),
    "running means first": (lambda s: {"params": zeros(s), "params_ema": s}, "params_ema"),
    "parallel": (lambda s: {"state_dict": prefixed(s, "module."), "epoch": 3}, "state_dict.module"),
    "twice parallel": (lambda s: prefixed(s, "module.module."), "module.module"),
    "compiled": (lambda s: {"model": prefixed(s, "_orig_mod."), "optimizer": optimiser(s)}, "model"),
    "compiled inside": (lambda s: {key.replace("intro.", "intro._orig_mod."): value for key, value in s.items()}, ""),
    "Lightning": (
        lambda s: {"state_dict": {**prefixed(s, "model."), "loss.weight": torch.ones(2)}, "optimizer_states": [optimiser(s)]},
        "state_dict.model",
    ),
    "Lightning with running means": (
        lambda s: {"state_dict": {**prefixed(zeros(s), "net."), **prefixed(s, "ema_model.module.")}},
        "state_dict.ema_model.module",
    ),
    "running means beside": (lambda s: {**prefixed(zeros(s), "generator."), **prefixed(s, "generator_ema.")}, "generator_ema"),
    "in capitals": (lambda s: {"model": zeros(s), "model_EMA": s}, "model_EMA"),
    "averaged": (lambda s: {"net": {"n_averaged": torch.tensor(9), **prefixed(s, "module.")}}, "net.module"),
    "any name": (lambda s: {"icnn": s, "opt_g": optimiser(s), "netD": {"fc.weight": torch.ones(3, 3)}}, "icnn"),
    "numbers beside the tensors": (lambda s: {**s, "height": 192, "use_stereo": False, "note": "none"}, ""),
}


@pytest.mark.parametrize("way", WAYS)
def test_however_it_is_wrapped(tmp_path: Path, state: State, way: str) -> None:
    wrap, entry = WAYS[way]
    torch.save(wrap(state), tmp_path / "net.pth")
    card = import_checkpoint([tmp_path / "net.pth"], tmp_path / "out" / "mine.toml")
    assert card.training.get("entry", "") == entry
    assert card.parsed_config() == CONFIG
    found = load_network(card).state_dict()
    assert all(torch.equal(found[key], value) for key, value in state.items())


def test_files_of_every_kind(tmp_path: Path, state: State) -> None:
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    torch.save(state, tmp_path / "b.bin", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "c.safetensors")
    for name in ("a.ckpt", "b.bin", "c.safetensors"):
        found = recognise(find_state_dicts(read_tensors(tmp_path / name)), [NAFNET])
        assert found.config == CONFIG and all(torch.equal(found.state[key], value) for key, value in state.items())


def test_the_card_says_where_the_weights_are_from(tmp_path: Path, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(state, tmp_path / "My net (2).pth")
    monkeypatch.chdir(tmp_path)
    card = import_checkpoint([Path("My net (2).pth")], licence="MIT")
    assert (str(card.path), card.name, card.tasks, card.licence) == (
        "multi-output-My-net-2.toml",
        "multi-output-My-net-2",
        ("deblur",),
        "MIT",
    )
    assert card.training["imported"] == ["My net (2).pth"] and len(card.training["sha256"][0]) == 64
    assert "unknown" in import_checkpoint([Path("My net (2).pth")], Path("other.toml")).licence


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names there are always Unicode")
def test_a_file_whose_name_is_not_unicode(tmp_path: Path, state: State) -> None:
    path = tmp_path / os.fsdecode(b"w\xf6.pth")
    torch.save(state, path)
    card = import_checkpoint([path], tmp_path / "net.toml")
    assert load_card(card.path or "").training["imported"] == ["w?.pth"]


def test_precision_is_kept_up_to_single(tmp_path: Path, state: State) -> None:
    mixed = {key: value.double() if "intro" in key else value.half() for key, value in state.items()}
    torch.save(mixed, tmp_path / "net.pth")
    card = import_checkpoint([tmp_path / "net.pth"], tmp_path / "mine.toml")
    stored = read_tensors(card.weights_path())
    assert {stored[key].dtype for key in stored if "intro" in key} == {torch.float32}
    assert {stored[key].dtype for key in stored if "intro" not in key} == {torch.float16}


def test_numbers_that_no_network_can_have(tmp_path: Path, state: State) -> None:
    too_large = {key: value.double() * 1e300 for key, value in state.items()}
    torch.save(too_large, tmp_path / "large.pth")
    with pytest.raises(CheckpointError, match="not finite"):
        import_checkpoint([tmp_path / "large.pth"], tmp_path / "mine.toml")
    torch.save({key: value.long() for key, value in state.items()}, tmp_path / "whole.pth")
    with pytest.raises(CheckpointError, match="of another kind of number"):
        import_checkpoint([tmp_path / "whole.pth"], tmp_path / "mine.toml")


def test_what_no_key_tells_can_be_said(tmp_path: Path, state: State) -> None:
    torch.save(state, tmp_path / "net.pth")
    card = import_checkpoint([tmp_path / "net.pth"], tmp_path / "mine.toml", settings=["answer=1", "train_size=[64, 64]"])
    assert (card.parsed_config().answer, card.parsed_config().train_size) == (1, (64, 64))
    with pytest.raises(UnknownNameError, match=r"unknown key 'anwser' in --set. Did you mean 'answer'\?"):
        import_checkpoint([tmp_path / "net.pth"], tmp_path / "other.toml", settings=["anwser=1"])
    with pytest.raises(CheckpointError, match=r"do not fit the network that --set describes: missing: middle_blks\.1"):
        import_checkpoint([tmp_path / "net.pth"], tmp_path / "other.toml", settings=["middle_blk_num=2"])
    assert not (tmp_path / "other.toml").exists() and not (tmp_path / "other.safetensors").exists()


class TestTensorFlow:
    CONFIG = CbsnConfig(filters=6, num_module=2, tail_channels=5)

    def variables(self, state: State) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {"DBSN/conv0/kernel/Adam": np.zeros((1, 1, 3, 6)), "global_step": np.int64(7)}
        for key, value in state.items():
            *parts, kind = key.split(".")
            special = parts[0].startswith("branch") and parts[1:] == ["conv1"]
            name = "/".join(parts).replace("branch", "B").replace("dcm/", "DCM")
            tail = {"weight": "W1" if special else "kernel", "bias": "b1" if special else "bias"}[kind]
            found[f"DBSN/{name}/{tail}"] = value.numpy().transpose(2, 3, 1, 0) if value.dim() == 4 else value.numpy()
        return found

    def test_variables_as_arrays(self, tmp_path: Path) -> None:
        state = recipe_state(get_method("cbsn"), self.CONFIG)
        np.savez(tmp_path / "cbsn.npz", **self.variables(state))
        card = import_checkpoint([tmp_path / "cbsn.npz"], tmp_path / "mine.toml")
        assert card.method == "cbsn" and card.parsed_config() == self.CONFIG
        found = load_network(card).state_dict()
        assert all(torch.equal(found[key], value) for key, value in state.items())

    def test_arrays_of_another_method_and_byte_order(self, tmp_path: Path, state: State) -> None:
        np.savez(tmp_path / "net.npz", **{key: value.numpy().astype(">f4") for key, value in state.items()})
        card = import_checkpoint([tmp_path / "net.npz"], tmp_path / "mine.toml", method="multi-output")
        found = load_network(card).state_dict()
        assert all(torch.equal(found[key], value) for key, value in state.items())

    def test_arrays_that_need_a_pickle_are_refused(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "bad.npz", **{"DBSN/conv0/kernel": np.array([Evil()], dtype=object)})
        with pytest.raises(CheckpointError, match=r"bad\.npz cannot be read as arrays"):
            import_checkpoint([tmp_path / "bad.npz"], tmp_path / "mine.toml")

    def test_its_own_format_needs_tensorflow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "tensorflow", None)
        (tmp_path / "model-5.index").touch()
        for name in ("model-5", "model-5.index", "model-5.meta", "model-5.data-00000-of-00001"):
            (tmp_path / name).touch()
        for name in ("model-5.meta", "model-5.data-00000-of-00001", "model-5.index"):
            with pytest.raises(CheckpointError, match="TensorFlow is not installed"):
                import_checkpoint([tmp_path / name], tmp_path / "mine.toml")


class TestSeveralFiles:
    def halves(self, state: State) -> tuple[State, State]:
        first = {key: value for key, value in state.items() if key.startswith(("intro", "encoders"))}
        return first, {key: value for key, value in state.items() if key not in first}

    def test_make_one_network(self, tmp_path: Path, state: State) -> None:
        first, second = self.halves(state)
        torch.save({"params": first}, tmp_path / "encoder.pth")
        torch.save({"state_dict": prefixed(second, "module."), "height": 192}, tmp_path / "decoder.pth")
        card = import_checkpoint([tmp_path / "encoder.pth", tmp_path / "decoder.pth"], tmp_path / "mine.toml")
        assert card.training["imported"] == ["encoder.pth", "decoder.pth"]
        assert card.training["entry"] == "params and state_dict.module"
        found = load_network(card).state_dict()
        assert all(torch.equal(found[key], value) for key, value in state.items())

    def test_one_alone_says_what_is_missing(self, tmp_path: Path, state: State) -> None:
        torch.save(self.halves(state)[1], tmp_path / "decoder.pth")
        with pytest.raises(CheckpointError, match="nearest is multi-output: this is no NAFNet"):
            import_checkpoint([tmp_path / "decoder.pth"], tmp_path / "mine.toml")

    def test_encoder_and_decoder_of_a_depth_network(self, tmp_path: Path) -> None:
        """The size of the training, plain numbers in the encoder's file, tells dilations that no key does."""
        method = get_method("dcpi-depth")
        config = replace(method.presets["paper-640x384"], pose="none", flow="none", train_flow=False)
        state = recipe_state(method, config)
        parts: dict[str, dict[str, Any]] = {"encoder": {"height": 384, "width": 640, "use_stereo": False}, "decoder": {}}
        for key, value in state.items():
            part, _, theirs = key.partition(".")
            parts[part][theirs] = value
        files = [tmp_path / "encoder.pth", tmp_path / "depth.pth"]
        for file, part in zip(files, parts.values(), strict=True):
            torch.save(part, file)
        card = import_checkpoint(files, tmp_path / "mine.toml")
        assert card.method == "dcpi-depth" and card.parsed_config().dilation == config.dilation
        found = load_network(card).state_dict()
        assert all(torch.equal(found[key], value) for key, value in state.items())
        for part in parts.values():  # what a profiler left behind stands in both
            part["total_ops"] = part["total_params"] = torch.zeros(1)
        del parts["encoder"]["height"], parts["encoder"]["width"]
        for file, part in zip(files, parts.values(), strict=True):
            torch.save(part, file)
        size = ["height=384", "width=640"]
        told = import_checkpoint(files, tmp_path / "told.toml", settings=size)
        assert told.parsed_config() == replace(card.parsed_config(), height=384, width=640)
        assert told.parsed_config().dilation == config.dilation
        with pytest.raises(CheckpointError, match=r"without its decoder .*Give encoder\.pth and depth\.pth together\.$"):
            import_checkpoint(files[:1], tmp_path / "half.toml")

    def test_one_without_weights_is_named(self, tmp_path: Path, state: State) -> None:
        torch.save(optimiser(state), tmp_path / "adam.pth")
        torch.save(state, tmp_path / "net.pth")
        with pytest.raises(CheckpointError, match=r"adam\.pth holds no weights that can be told by name\. Leave it out"):
            import_checkpoint([tmp_path / "adam.pth", tmp_path / "net.pth"], tmp_path / "mine.toml")

    def test_that_hold_the_same_are_refused(self, tmp_path: Path, state: State) -> None:
        torch.save(state, tmp_path / "a.pth")
        with pytest.raises(CheckpointError, match="hold the same keys"):
            import_checkpoint([tmp_path / "a.pth", tmp_path / "a.pth"], tmp_path / "mine.toml")


class Evil:
    """Runs a command when it is unpickled by somebody careless."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("pwned",)


class TestHostile:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        return tmp_path

    def refused(self, name: str, message: str) -> None:
        before = sorted(os.listdir())
        with pytest.raises(CheckpointError, match=f"(?s){message}") as caught:
            import_checkpoint([Path(name)], Path("mine.toml"))
        assert sorted(os.listdir()) == before
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("zipped", [True, False])
    def test_code(self, state: State, zipped: bool) -> None:
        torch.save({"state_dict": state, "config": Evil()}, "evil.pth", _use_new_zipfile_serialization=zipped)
        self.refused("evil.pth", r"evil\.pth is not loaded: besides tensors it holds posix\.mkdir.*If you trust")

    def test_a_bare_pickle_of_code(self) -> None:
        Path("evil.pkl").write_bytes(pickle.dumps(Evil()))
        self.refused("evil.pkl", "evil.pkl is not a file that PyTorch reads without running code. If you trust")

    def test_archives_of_other_kinds_are_not_called_damaged(self) -> None:
        with zipfile.ZipFile("x.pt", "w") as archive:
            for name in ("x/data.pkl", "x/constants.pkl", "x/code/__torch__.py"):
                archive.writestr(name, b"")
        self.refused("x.pt", "x.pt is a TorchScript program. Load it with torch.jit.load")
        with zipfile.ZipFile("x.zip", "w") as archive:
            archive.writestr("net.pth", b"1234")
        self.refused("x.zip", "x.zip is an archive, and no file of PyTorch. Unpack it")

    def test_dictionaries_that_share_one_another(self) -> None:
        inner: dict[str, Any] = {"a.weight": torch.ones(1)}
        for _ in range(5):
            inner = {str(number): inner for number in range(100)}
        torch.save(inner, "x.pth")
        self.refused("x.pth", "x.pth is of no method known here")

    def test_keys_that_steer_a_terminal(self) -> None:
        torch.save({"a\x1b[2J\nb": torch.ones(1), "c" * 10_000: torch.ones(1)}, "x.pth")
        self.refused("x.pth", r"a\?\[2J\?b \(1,\), c{117}\.\.\.")

    def test_empty(self) -> None:
        Path("empty.pth").touch()
        self.refused("empty.pth", "empty.pth is empty. Copy or download it again")

    def test_missing_or_a_folder(self) -> None:
        self.refused("none.pth", "none.pth cannot be read: No such file or directory")
        Path("folder.pth").mkdir()
        self.refused("folder.pth", "folder.pth cannot be read: Is a directory")

    @pytest.mark.parametrize("part", [0.02, 0.5, 0.99])
    def test_cut_short(self, state: State, part: float) -> None:
        torch.save(state, "whole.pth")
        save_file(state, "whole.safetensors")
        for whole in (Path("whole.pth"), Path("whole.safetensors")):
            data = whole.read_bytes()
            cut = Path(f"cut{whole.suffix}")
            cut.write_bytes(data[: int(part * len(data))])
            self.refused(cut.name, f"{cut.name} is damaged or cut short")

    @pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
    def test_an_image(self, kind: str) -> None:
        PillowImage.new("RGB", (20, 10)).save("photo.pth", format=kind)
        self.refused("photo.pth", "photo.pth is no checkpoint: neither a PyTorch nor a safetensors file")

    def test_no_tensors(self) -> None:
        for content in ({"epoch": 3, "note": "x"}, [torch.zeros(3)], {1: torch.zeros(3)}, torch.zeros(3)):
            torch.save(content, "odd.pth")
            self.refused("odd.pth", "odd.pth holds no weights that can be told by name")

    def test_keys_nobody_knows(self) -> None:
        torch.save({"params": {"foo.weight": torch.zeros(2, 3), "bar": torch.zeros(1)}}, "odd.pth")
        self.refused("odd.pth", r"odd\.pth is of no method known here: it holds 2 tensors under params, .* foo\.weight \(2, 3\)")

    def test_the_nearest_method_and_what_it_misses(self, state: State) -> None:
        del state["middle_blks.0.beta"]
        torch.save(state, "odd.pth")
        self.refused("odd.pth", r"nearest is multi-output: .*middle_blks\.0\.beta.* It holds \d+ tensors, such as .*intro")

    def test_the_nearest_method_of_what_is_wrapped(self, state: State) -> None:
        del state["middle_blks.0.beta"]
        torch.save({"state_dict": prefixed(state, "module.")}, "odd.pth")
        self.refused("odd.pth", r"nearest is multi-output: .*middle_blks\.0\.beta")

    def test_one_key_too_many(self, state: State) -> None:
        torch.save({**state, "extra.weight": torch.zeros(3)}, "odd.pth")
        self.refused("odd.pth", r"nearest is multi-output: not known: extra\.weight")

    def test_the_method_that_was_named_says_why_not(self, state: State) -> None:
        torch.save(state, "naf.pth")
        with pytest.raises(CheckpointError, match=r"does not fit the method cbsn: this is no C-BSN checkpoint: .* are missing"):
            import_checkpoint([Path("naf.pth")], method="cbsn")
        with pytest.raises(UnknownNameError, match="unknown method 'cbsm'"):
            import_checkpoint([Path("naf.pth")], method="cbsm")

    def test_shapes_that_go_together_with_nothing(self, state: State) -> None:
        for value in (torch.tensor(1.0), torch.zeros(1, 1, 1, 1, 1)):
            torch.save({key: value for key in state}, "odd.pth")
            self.refused("odd.pth", "odd.pth does not fit any method")

    def test_values_that_are_not_finite(self, state: State) -> None:
        state["intro.bias"][1] = float("nan")
        torch.save(state, "nan.pth")
        self.refused("nan.pth", "not finite: intro.bias")

    def test_a_few_bytes_that_pass_for_gigabytes(self, state: State) -> None:
        state["intro.weight"] = torch.zeros(1).expand(2**40, 3, 3, 3)
        torch.save(state, "bomb.pth")
        self.refused("bomb.pth", "nearest is multi-output")

    def test_endless_wrapping(self, state: State) -> None:
        nested: dict[str, Any] = dict(state)
        for _ in range(100):
            nested = {"model": nested}
        torch.save(nested, "nested.pth")
        self.refused("nested.pth", "holds no weights")
        torch.save(prefixed(state, 2000 * "module."), "deep.pth")
        self.refused("deep.pth", "is of no method known here")

    def test_sparse_tensors_are_not_weights(self, state: State) -> None:
        state["intro.bias"] = state["intro.bias"].to_sparse()
        torch.save(state, "sparse.pth")
        self.refused("sparse.pth", "intro.bias")


class TestTarget:
    @pytest.fixture
    def file(self, tmp_path: Path, state: State) -> Path:
        save_file(state, tmp_path / "net.safetensors")
        return tmp_path / "net.safetensors"

    def test_must_be_a_card(self, file: Path) -> None:
        for name in ("card", "card.safetensors", "card.pth"):
            with pytest.raises(UsageError, match=r"Name a \.toml file"):
                import_checkpoint([file], file.parent / name)

    def test_is_not_replaced_unasked(self, file: Path) -> None:
        target = file.parent / "mine.toml"
        import_checkpoint([file], target)
        with pytest.raises(UsageError, match=r"mine\.toml exists\. .*--overwrite"):
            import_checkpoint([file], target)
        assert import_checkpoint([file], target, licence="MIT", overwrite=True).licence == "MIT"

    def test_is_never_the_checkpoint(self, file: Path) -> None:
        before = file.read_bytes()
        with pytest.raises(UsageError, match="would be written over the checkpoint itself"):
            import_checkpoint([file], file.with_suffix(".toml"), overwrite=True)
        assert file.read_bytes() == before and not file.with_suffix(".toml").exists()


def test_a_network_of_two_methods_is_left_to_the_user(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    class Twin(type(NAFNET)):  # type: ignore[misc]
        name = "twin"

    candidates = find_state_dicts(state)
    with pytest.raises(CheckpointError, match=r"fits more than one method: multi-output, twin\. Choose one with --method"):
        recognise(candidates, [NAFNET, Twin()])
    assert recognise(candidates, [Twin()]).method.name == "twin"
