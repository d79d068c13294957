"""The frame-wise ResNet: torchvision's weights fit, frames do not mix unless they are shifted."""

from __future__ import annotations

import pytest
import torch
from torchvision import models

from vizkit.net.backbones.resnet import FrameResNet, shift_frames


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_torchvisions_weights_fit_and_logits_are_the_mean_over_frames(depth: int) -> None:
    torch.manual_seed(depth)
    reference = getattr(models, f"resnet{depth}")(weights=None, num_classes=7)
    with torch.no_grad():  # norms that are not the identity
        for buffer in reference.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    network = FrameResNet(depth, 7)
    network.load_state_dict(reference.state_dict())
    clip = torch.randn(2, 3, 2, 64, 48)
    with torch.no_grad():
        expected = reference.eval()(clip.transpose(1, 2).flatten(0, 1)).view(2, 2, 7).mean(1)
        found = network.eval()(clip)
    assert torch.allclose(found, expected, atol=1e-4 * float(expected.abs().max()))
    assert float(expected.std()) > 1e-3


def test_without_shift_the_order_of_frames_does_not_count() -> None:
    torch.manual_seed(0)
    clip = torch.randn(1, 3, 4, 32, 32)
    plain, shifting = (FrameResNet(18, 5, width=8, stem="5x5/2", shift=shift).eval() for shift in (False, True))
    shifting.load_state_dict(plain.state_dict())
    with torch.no_grad():
        assert torch.allclose(plain(clip), plain(clip.flip(2)), atol=1e-5)
        assert not torch.allclose(shifting(clip), shifting(clip.flip(2)), atol=1e-3)


def test_shifting_brings_an_eighth_from_the_next_frame_and_an_eighth_from_the_one_before() -> None:
    frames = torch.arange(1.0, 5.0).repeat(2).view(8, 1, 1, 1).expand(8, 16, 2, 3)  # two clips of four frames, values 1..4
    shifted = shift_frames(frames, 4).view(2, 4, 16, 2, 3)
    for clip in shifted[:, :, :, 1, 2]:
        assert clip[:, :2].T.tolist() == [[2, 3, 4, 0]] * 2
        assert clip[:, 2:4].T.tolist() == [[0, 1, 2, 3]] * 2
        assert clip[:, 4:].T.tolist() == [[1, 2, 3, 4]] * 12


def test_clips_of_a_batch_are_independent() -> None:
    torch.manual_seed(0)
    network = FrameResNet(18, 5, width=4, stem="5x5/2", shift=True).eval()
    clip = torch.randn(3, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.allclose(network(clip)[1:2], network(clip[1:2]), atol=1e-5)


def test_a_motion_module_sees_the_sum_before_the_last_relu_and_is_added_to_it() -> None:
    class Keep(torch.nn.Module):
        """Takes everything away."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.seen = x
            return -x

    network = FrameResNet(18, 5, width=4, stem="5x5/2", motion={("res3", 1): lambda channels: Keep()}).eval()
    with torch.no_grad():
        maps = network.features(torch.randn(2, 3, 4, 32, 32))
    module = network.get_submodule("layer2.1.motion")
    assert module.seen.shape == (2, 8, 4, 8, 8)
    assert bool((module.seen < 0).any())
    assert not maps["res3"].any()


def test_modules_go_where_the_plan_says() -> None:
    seen: list[int] = []

    def build(channels: int) -> torch.nn.Module:
        seen.append(channels)
        return torch.nn.Identity()

    network = FrameResNet(50, 5, width=4, stem="5x5/2", motion={("res3", 3): build, ("res4", 0): build})
    assert [(block.name, block.path, block.stage) for block in network.blocks] == [
        ("res3.3", "layer2.3.motion", "res3"),
        ("res4.0", "layer3.0.motion", "res4"),
    ]
    assert seen == [32, 64]


@pytest.mark.parametrize("place", [("res3", 2), ("res6", 0)])
def test_a_plan_for_a_block_that_is_not_there_is_refused(place: tuple[str, int]) -> None:
    with pytest.raises(ValueError, match="no residual block"):
        FrameResNet(18, 5, width=4, motion={place: lambda channels: torch.nn.Identity()})


def test_an_unknown_depth_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"18, 34, 50, 101"):
        FrameResNet(19, 5)


# ------------------------------------------------------------------------------------------------ after and beside


class Doubled(torch.nn.Module):
    """Doubles what comes in, and keeps it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = x
        return 2 * x


class Counted(torch.nn.Module):
    """Adds one, and hands on how many like it came before."""

    def forward(self, x: torch.Tensor, carried: int | None) -> tuple[torch.Tensor, int]:
        self.before = carried or 0
        return x + 1, self.before + 1


class Summary(torch.nn.Module):
    """A vector of two numbers: the mean of the first frame and of the last."""

    out_features = 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen = x
        return torch.stack([x[:, :, 0].mean((1, 2, 3)), x[:, :, -1].mean((1, 2, 3))], 1)


def test_a_module_after_a_residual_block_sees_what_the_block_gives() -> None:
    built: list[tuple[int, int]] = []

    def build(channels: int, frames: int) -> torch.nn.Module:
        built.append((channels, frames))
        return Doubled()

    network = FrameResNet(18, 5, width=4, stem="5x5/2", inserted={("res3", 0): build}, frames=4).eval()
    assert built == [(8, 4)]
    assert [(block.name, block.path, block.stage) for block in network.blocks] == [("res3.0", "layer2.0.inserted", "res3")]
    given: list[torch.Tensor] = []
    network.get_submodule("layer2.1").register_forward_pre_hook(lambda _module, inputs: given.append(inputs[0]))
    with torch.no_grad():
        network(torch.randn(2, 3, 4, 32, 32))
    module = network.get_submodule("layer2.0.inserted")
    assert module.seen.shape == (2, 8, 4, 8, 8)
    assert not bool((module.seen < 0).any())
    assert torch.equal(given[0], (2 * module.seen).transpose(1, 2).flatten(0, 1))


def test_modules_after_stages_hand_on_and_the_stage_stays_as_it_is() -> None:
    plan = {"res2": lambda channels: Counted(), "res4": lambda channels: Counted()}
    network, plain = (FrameResNet(18, 5, width=4, stem="5x5/2", after=after, after_name="dcf").eval() for after in (plan, {}))
    plain.load_state_dict(network.state_dict())
    assert [(block.name, block.path) for block in network.blocks] == [("res2.dcf", "after.res2"), ("res4.dcf", "after.res4")]
    clip = torch.randn(1, 3, 3, 32, 32)
    with torch.no_grad():
        own, others = network.features(clip), plain.features(clip)
    assert (network.after["res2"].before, network.after["res4"].before) == (0, 1)
    assert torch.equal(own["res2"], others["res2"])
    with torch.no_grad():
        assert torch.equal(own["res3"], plain.get_submodule("layer2")(others["res2"] + 1, 3))
        assert torch.equal(network(clip), network.classify(network.features(clip)["res5"], 3))


def test_the_last_layer_takes_the_vectors_of_modules_beside_stages() -> None:
    plan = {"res3": lambda channels, frames: Summary()}
    network = FrameResNet(18, 5, width=4, stem="5x5/2", beside=plan, beside_name="kpsem").eval()
    assert [(block.name, block.path, block.stage) for block in network.blocks] == [("res3.kpsem", "beside.res3", "res3")]
    assert network.fc.in_features == 32 + 2
    clip = torch.randn(2, 3, 3, 32, 32)
    with torch.no_grad():
        logits, last = network(clip), network.features(clip)["res5"]
        network.fc.weight[:, 32:] = 0
        without = network(clip)
    assert network.beside["res3"].seen.shape == (2, 8, 3, 8, 8)
    assert not torch.equal(logits, without)
    pooled = last.mean((2, 3)).unflatten(0, (2, 3)).mean(1)
    assert torch.allclose(without, torch.nn.functional.linear(pooled, network.fc.weight[:, :32], network.fc.bias), atol=1e-6)


@pytest.mark.parametrize("plan", [{"after": {"res6": Doubled}}, {"beside": {"res1": Summary}}, {"inserted": {("res2", 2): Doubled}}])
def test_a_plan_for_a_place_that_is_not_there_is_refused(plan: dict[str, dict[str, type[torch.nn.Module]]]) -> None:
    with pytest.raises(ValueError, match="no residual block or stage"):
        FrameResNet(18, 5, width=4, **plan)


def test_networks_without_modules_have_the_keys_of_image_networks() -> None:
    modules = {"after": {"res2": lambda channels: Counted()}, "inserted": {("res2", 0): lambda channels, frames: Doubled()}}
    with_modules, plain = FrameResNet(18, 5, width=4, **modules), FrameResNet(18, 5, width=4)
    assert with_modules.state_dict().keys() == plain.state_dict().keys()
