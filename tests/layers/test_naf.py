"""NAF blocks, and channel attention over local means taken at some points only."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from restorekit.layers.naf import NAFBlock, gate, scaled_conv1x1
from restorekit.layers.pooling import LocalMean2d, coarse_local_mean, local_mean


def rand(*shape: int) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64)


def trained(block: NAFBlock) -> NAFBlock:
    torch.manual_seed(0)
    block.double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return block


class TestBlock:
    def test_is_the_published_formula(self) -> None:
        block, x = trained(NAFBlock(6)), rand(2, 6, 5, 7)
        u = gate(block.conv2(block.conv1(block.norm1(x))))
        u = u * block.sca[1](u.mean((2, 3), keepdim=True))
        y = x + block.beta * block.conv3(u)
        z = y + block.gamma * block.conv5(gate(block.conv4(block.norm2(y))))
        assert torch.allclose(block(x), z, atol=1e-12)

    def test_a_new_block_is_the_identity(self) -> None:
        x = torch.rand(1, 4, 6, 6)
        assert torch.equal(NAFBlock(4)(x), x)

    def test_scale_is_moved_into_the_weights(self) -> None:
        conv, x, scale = nn.Conv2d(3, 4, 1).double(), rand(1, 3, 5, 5), rand(1, 4, 1, 1)
        assert torch.allclose(scaled_conv1x1(x, conv, scale), scale * conv(x), atol=1e-12)

    def test_coarse_means_serve_a_map_of_any_size(self) -> None:
        x = rand(1, 4, 40, 37)
        exact, coarse = (trained(NAFBlock(4, (16, 16), cells)) for cells in (None, 8))
        coarse.load_state_dict(exact.state_dict())
        difference = coarse(x) - exact(x)
        assert 0 < float(difference.detach().abs().max()) < 0.1 * float(exact(x).detach().std())


class TestCoarseMeans:
    def test_with_one_cell_a_pixel_they_are_exact(self) -> None:
        x = rand(2, 3, 20, 17)
        assert torch.allclose(coarse_local_mean(x, (8, 6), 100), local_mean(x, (8, 6)), atol=1e-12)

    def test_whole_cells_have_the_means_of_their_pixels(self) -> None:
        x = rand(1, 2, 24, 24)
        coarse = coarse_local_mean(x, (8, 8), 4)  # cells of 2 x 2
        assert coarse.shape == (1, 2, 12, 12)
        assert torch.allclose(coarse[..., 2, 3], x[..., 2:10, 4:12].mean((2, 3)), atol=1e-12)

    @pytest.mark.parametrize("size", [(5, 5), (8, 3)])
    def test_a_window_that_covers_the_map_gives_its_mean(self, size: tuple[int, int]) -> None:
        x = rand(1, 2, *size)
        assert torch.equal(LocalMean2d((8, 8), 4)(x), x.mean((2, 3), keepdim=True))

    def test_says_what_it_is(self) -> None:
        assert LocalMean2d((8, 8)).extra_repr() == "window=(8, 8)"
        assert LocalMean2d((8, 8), 4).extra_repr() == "window=(8, 8), cells=4"
