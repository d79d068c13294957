"""The projection against numbers worked out by hand, and what must never go wrong in it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vizkit.baseline import dynamic_image
from vizkit.errors import SettingError
from vizkit.motion.pwtp.module import PWTP, project
from vizkit.net.count import count_parameters


def column(*values: float) -> torch.Tensor:
    """One pixel of one channel over time: [1, 1, T, 1, 1]."""
    return torch.tensor(values, dtype=torch.float64).view(1, 1, -1, 1, 1)


def span(*columns: Iterable[float]) -> torch.Tensor:
    """One pixel's subspace: [1, T, D, 1, 1]."""
    return torch.tensor(list(zip(*columns, strict=True)), dtype=torch.float64)[None, :, :, None, None]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------ worked numbers


@pytest.mark.parametrize(
    ("x", "columns", "static", "residual"),
    [
        ((1, 2, 3, 6), [(1, 1, 1, 1)], (3, 3, 3, 3), (-2, -1, 0, 3)),
        ((1, 0, 0, 0), [(1, 2, 3, 4)], (1 / 30, 2 / 30, 3 / 30, 4 / 30), (29 / 30, -2 / 30, -3 / 30, -4 / 30)),
        ((1, 2, 3, 6), [(1, 2, 3, 4)], (38 / 30, 76 / 30, 114 / 30, 152 / 30), (-8 / 30, -16 / 30, -24 / 30, 28 / 30)),
        ((1, 2, 3, 6), [(1, 1, 1, 1), (0, 1, 2, 3)], (0.6, 2.2, 3.8, 5.4), (0.4, -0.2, -0.8, 0.6)),
    ],
)
def test_a_pixel_is_projected_on_its_subspace(x: Any, columns: Any, static: Any, residual: Any) -> None:
    found = project(column(*x), span(*columns))
    assert torch.allclose(found[0], column(*static), atol=1e-4)
    assert torch.allclose(found[1], column(*residual), atol=1e-4)


def test_dynamic_appearance_is_a_weighted_mean_of_the_frames() -> None:
    """For a = (1, 2, 3, 4): w = 1 - a sum(a) / sum(a^2) = (2/3, 1/3, 0, -1/3)."""
    a, x = span((1, 2, 3, 4)), column(1, 2, 3, 6)
    weight = project(torch.ones_like(x), a)[1]
    assert torch.allclose(weight, column(2 / 3, 1 / 3, 0, -1 / 3), atol=1e-5)
    assert float(project(x, a)[1].mean()) == pytest.approx(-1 / 6, abs=1e-5)
    assert float((weight * x).mean()) == pytest.approx(-1 / 6, abs=1e-5)


def test_a_pixel_that_stands_still_leaves_what_the_subspace_misses_of_a_constant() -> None:
    """c (1 - cos^2 of the angle between a and a constant); a along the constant leaves nothing."""
    a = (1.0, 2.0, 3.0, 4.0)
    cosine_squared = sum(a) ** 2 / (4 * sum(value**2 for value in a))
    assert float(project(column(5, 5, 5, 5), span(a))[1].mean()) == pytest.approx(5 * (1 - cosine_squared), abs=1e-5)
    assert float(project(column(5, 5, 5, 5), span((3.0, 3.0, 3.0, 3.0)))[1].abs().max()) < 1e-5


def formula_module(rank: int) -> PWTP:
    """The s-th tensor (norms apart) holds 0.3 sin(0.37 i + s), i = 1, 2, .. row by row."""
    module = PWTP(4, rank, kernel=3, stride=2, channels=2).double().eval().requires_grad_(False)
    tensors = [tensor for name, tensor in module.named_parameters() if "norm" not in name]
    shapes = [tuple(tensor.shape[:2]) for tensor in tensors]
    assert shapes == [(2, 3), (2,), (12, 6), (12,), (3, 12), (3,), (12, 3), (12,), (4 * rank, 12), (4 * rank,)]
    with torch.no_grad():
        for number, tensor in enumerate(tensors):
            place = torch.arange(1, tensor.numel() + 1, dtype=torch.float64)
            tensor.copy_((0.3 * torch.sin(0.37 * place + number)).view_as(tensor))
    return module


def formula_clip() -> torch.Tensor:
    return torch.sin(0.5 * torch.arange(3 * 4 * 16, dtype=torch.float64)).view(1, 3, 4, 4, 4)


def test_the_whole_module_gives_numbers_that_were_worked_out_elsewhere() -> None:
    module, x = formula_module(1), formula_clip()
    subspace, (static, residual), dynamic = module.subspace(x), module.separate(x), module(x)
    assert all(torch.equal(*pair) for pair in zip(module.project(x, subspace), (static, residual), strict=True))
    assert torch.allclose(static + residual, x)
    for place, wanted in (((0, 0), (0.169366, -0.117092, -0.329836, -0.161600)), ((3, 2), (0.178538, -0.096108, -0.350298, -0.171574))):
        assert subspace[0, :, 0, *place].tolist() == pytest.approx(wanted, abs=1e-5)
    assert dynamic[0, :, 0, 0].tolist() == pytest.approx((0.026655, 0.214591, 0.331378), abs=1e-5)
    assert float(dynamic.sum()) == pytest.approx(2.711114, abs=5e-5)
    assert float(dynamic.abs().sum()) == pytest.approx(10.901411, abs=5e-5)
    assert float(residual.norm()) == pytest.approx(8.087627, abs=5e-5)
    assert float(x.norm()) == pytest.approx(9.781549, abs=5e-5)


def test_two_dimensions_give_numbers_that_were_worked_out_elsewhere() -> None:
    module, x = formula_module(2), formula_clip()
    wanted = [0.169366, -0.117092, -0.329836, -0.1616, -0.21033, -0.438421, -0.25651, -0.020734]
    assert module.subspace(x)[0, :, :, 0, 0].flatten().tolist() == pytest.approx(wanted, abs=1e-5)
    assert module(x)[0, :, 0, 0].tolist() == pytest.approx((-0.070479, 0.146379, 0.314704), abs=1e-5)
    assert float(module.separate(x)[1].norm()) == pytest.approx(9.036647, abs=5e-5)


def test_pairs_of_frames_come_row_by_row() -> None:
    embedded = torch.tensor([2.0, 3.0, 5.0, 7.0]).view(1, 4, 1, 1, 1)
    assert PWTP.compare(embedded).flatten().tolist() == [6, 10, 14, 15, 21, 35]


# ------------------------------------------------------------------------------------------------ properties


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_projection_is_one(rank: int) -> None:
    x, subspace = random(2, 3, 8, 5, 4), random(2, 8, rank, 5, 4, seed=1)
    static, residual = project(x, subspace)
    assert torch.allclose(project(static, subspace)[0], static, atol=2e-4)
    assert torch.einsum("btdhw,bcthw->bcdhw", subspace, residual).abs().max() < 2e-4
    exact = torch.linalg.lstsq(subspace.permute(0, 3, 4, 1, 2), x.permute(0, 3, 4, 2, 1)).solution
    assert torch.allclose(static.permute(0, 3, 4, 2, 1), subspace.permute(0, 3, 4, 1, 2) @ exact, atol=2e-4)
    scaled = subspace * torch.tensor([3.0, -0.5, 2.0][:rank]).view(1, 1, rank, 1, 1)
    assert torch.allclose(project(x, scaled)[0], static, atol=5e-4)
    assert torch.allclose(project(-2.5 * x, subspace)[1], -2.5 * residual)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("broken", ["vanishing", "collinear", "one vanishes"])
def test_a_subspace_that_lacks_dimensions_gives_finite_values_and_gradients(dtype: torch.dtype, broken: str) -> None:
    x = random(1, 3, 4, 2, 2).to(dtype)
    first = random(1, 4, 1, 2, 2, seed=1)
    second = {"vanishing": 0 * first, "collinear": 2 * first, "one vanishes": 0 * first}[broken]
    first = 0 * first if broken == "vanishing" else first
    subspace = torch.cat([first, second], 2).to(dtype).requires_grad_()
    static, residual = project(x, subspace)
    (residual**2).sum().backward()  # type: ignore[no-untyped-call]
    assert subspace.grad is not None
    assert bool(subspace.grad.isfinite().all())
    wanted = project(x, subspace.detach()[:, :, :1])[0]
    assert torch.allclose(static, wanted, atol=1e-3)


def test_gradients_are_right() -> None:
    x, subspace = random(1, 2, 4, 2, 1).requires_grad_(), random(1, 4, 2, 2, 1, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda *inputs: project(*inputs)[1], (x, subspace))


def test_under_autocast_the_projection_keeps_its_digits() -> None:
    module, x = PWTP(4, 2).eval(), torch.rand(1, 3, 4, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        subspace = module.span(module.compare(module.embed(x)))
        static, _ = project(x, module.upsample(subspace, (32, 32)))
    assert subspace.dtype == torch.bfloat16
    assert static.dtype == torch.float32
    assert torch.equal(static, project(x, module.upsample(subspace, (32, 32)))[0])
    half = project(x.bfloat16(), random(1, 4, 2, 32, 32).bfloat16())
    assert {part.dtype for part in half} == {torch.bfloat16}
    assert bool(half[0].isfinite().all())


def test_a_black_clip_has_nothing() -> None:
    module = PWTP(4).eval()
    static, residual = module.separate(torch.zeros(1, 3, 4, 16, 16))
    assert not static.any()
    assert not residual.any()


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_the_start_by_cosines_takes_a_still_clip_for_static(rank: int) -> None:
    torch.manual_seed(0)
    still = nn.functional.interpolate(torch.rand(1, 3, 8, 8), size=(64, 64), mode="bilinear")[:, :, None].expand(-1, -1, 8, -1, -1)
    module, random_start = (PWTP(rank=rank, initial=start).eval().requires_grad_(False) for start in ("dct", "random"))  # type: ignore[arg-type]
    assert float(module(still).abs().max()) < 0.02
    assert float(random_start(still).abs().max()) > 0.1
    columns = module.out.bias.view(8, rank)  # type: ignore[union-attr]
    assert torch.allclose(columns[:, 0], torch.ones(8))
    gram = columns.T @ columns
    assert torch.allclose(gram, torch.diag(torch.diag(gram)), atol=1e-5)


def test_the_start_by_ranking_gives_about_a_dynamic_image() -> None:
    """1 - 0.01 alpha leaves 0.01 alpha and 0.0001 |alpha|^2 / T of a constant; alpha of eight frames has |alpha|^2 = 91.1."""
    torch.manual_seed(0)
    module = PWTP(initial="rank").eval()
    clip = torch.randn(2, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1)).cumsum(2)
    with torch.no_grad():
        found, wanted = module(clip), dynamic_image(clip) * 0.01 / 8
        reversed_ = module(clip.flip(2))
        still = module(torch.ones(1, 3, 8, 32, 32))
    assert float(F.cosine_similarity(found.flatten(), wanted.flatten(), dim=0)) > 0.95
    assert 0.8 < float(found.norm() / wanted.norm()) < 1.25
    assert float(F.cosine_similarity(found.flatten(), reversed_.flatten(), dim=0)) < 0
    assert 0 < float(still.abs().max()) < 0.01


def test_the_best_subspace_leaves_the_same_in_any_order_of_the_frames() -> None:
    """So dynamic appearance whose projection minimises ENoPR cannot tell a clip from its reversal."""
    x = random(1, 3, 6, 4, 5)

    def appearance(clip: torch.Tensor) -> torch.Tensor:
        best = torch.linalg.svd(clip[0].permute(2, 3, 1, 0)).U[..., :1]  # [H, W, T, 1]
        return project(clip, best.permute(2, 3, 0, 1)[None])[1].mean(2)

    for order in (range(5, -1, -1), (3, 0, 5, 1, 4, 2)):
        assert torch.allclose(appearance(x[:, :, list(order)]), appearance(x), atol=1e-5)


def test_each_pixel_has_a_subspace_of_its_own_and_sides_need_not_be_whole_cells() -> None:
    module = PWTP(4).eval()
    for height, width in ((37, 21), (5, 8), (1, 1)):
        x = torch.rand(2, 3, 4, height, width)
        assert module.subspace(x).shape == (2, 4, 1, height, width)
        assert module(x).shape == (2, 3, height, width)
        assert module.span(module.compare(module.embed(x))).shape[3:] == (-(-height // 8), -(-width // 8))


def test_clips_of_a_batch_and_channels_are_kept_apart() -> None:
    module, x = PWTP(4).eval(), torch.rand(2, 3, 4, 16, 16)
    together = module(x)
    assert torch.allclose(together, torch.cat([module(x[:1]), module(x[1:])]), atol=1e-6)
    assert torch.allclose(project(x, module.subspace(x))[0][:, 1], project(x[:, 1:2], module.subspace(x))[0][:, 0])


def test_grey_frames_are_taken_too() -> None:
    assert PWTP(4, in_channels=1).eval()(torch.rand(1, 1, 4, 16, 16)).shape == (1, 1, 16, 16)


def test_switched_off_the_middle_frame_is_left() -> None:
    x = torch.rand(1, 3, 5, 4, 4)
    assert torch.equal(PWTP.neutral(x), x[:, :, 2])


# ------------------------------------------------------------------------------------------------ size


@pytest.mark.parametrize(
    ("options", "params"),
    [
        ({"expansion": 4}, 16_644), ({"expansion": 1}, 7_383), ({"expansion": 1, "blocks": 2}, 7_866),
        ({"expansion": 4, "blocks": 2}, 23_280), ({"expansion": 4, "bottleneck": 1.0}, 35_544),
        ({"expansion": 4, "blocks": 0}, 10_008), ({}, 9_686), ({"frames": 6}, 7_100),
        ({"frames": 3}, 5_945), ({"frames": 4}, 6_103), ({"frames": 16}, 68_332),
    ],
)  # fmt: skip
def test_parameters_are_counted_as_in_the_papers_table(options: dict[str, Any], params: int) -> None:
    """Table 8, configurations 1 to 7 (16.9k, 7.4k, 7.9k, 23.3k, 35.5k, 10.0k, 9.7k), and other lengths."""
    assert count_parameters(PWTP(**options)) == params


# ------------------------------------------------------------------------------------------------ refused


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"frames": 1}, "frames is 1, at least 2"), ({"frames": 4, "rank": 5}, "rank is 5, but 1 to 4"),
        ({"rank": 0}, "rank is 0, but 1 to 8"),
        ({"kernel": 8}, "kernel is 8, an odd"), ({"stride": 0}, "stride is 0"), ({"bottleneck": 0.0}, r"bottleneck is 0\.0"),
        ({"blocks": -1}, "blocks is -1"), ({"initial": "zeros"}, "Unknown initial 'zeros'. Known: dct, random"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        PWTP(**options)


def test_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SettingError, match="has 6 frames where a projection for 4 stands"):
        PWTP(4)(torch.rand(1, 3, 6, 8, 8))
    with pytest.raises(SettingError, match=r"x has shape \(3, 4, 8, 8\), but 5 axes"):
        PWTP(4)(torch.rand(3, 4, 8, 8))
    for subspace in (torch.rand(1, 5, 1, 8, 8), torch.rand(4, 1, 8, 8), torch.rand(1, 4, 1, 4, 4)):
        with pytest.raises(SettingError, match=r"subspace \("):
            project(torch.rand(1, 3, 4, 8, 8), subspace)
