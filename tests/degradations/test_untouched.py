import torch

from restorekit.degradations import Untouched, UntouchedSettings, get_degradation, seeded_generator
from restorekit.degradations.sensor import SensorSettings


def photograph(side: int = 64) -> torch.Tensor:
    """Smooth colours, so that a JPEG file loses little."""
    x = torch.linspace(0.1, 0.9, side)
    return torch.stack([x.expand(side, side), x[:, None].expand(side, side), 1 - x.expand(side, side)])[None]


def test_nothing_but_rounding_where_the_camera_is_silent() -> None:
    clean = photograph()
    silent = SensorSettings(noise_probability=0.0, jpeg_probability=0.0, saturation_probability=0.0)
    pair = Untouched(UntouchedSettings(silent))(clean, seeded_generator(1))
    assert torch.equal(pair.target, clean)
    assert (pair.input - clean).abs().max() <= 0.5 / 255 + 1e-5


def test_a_camera_adds_little() -> None:
    clean = photograph().repeat(8, 1, 1, 1)
    difference = Untouched()(clean, seeded_generator(2)).input - clean
    assert 1e-3 < difference.square().mean().sqrt() < 0.03


def test_it_is_one_of_several() -> None:
    either, clean = get_degradation("haze | untouched", {}), photograph(96)
    m = either.margin
    left_alone = 0
    for seed in range(12):
        pair = either(clean, seeded_generator(seed))
        assert torch.equal(pair.target, clean[..., m:-m, m:-m])
        left_alone += int((pair.input - pair.target).abs().mean() < 0.02)
    assert 2 <= left_alone <= 10
