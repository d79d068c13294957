"""DCF: dense correlation fields for motion modeling in action recognition.

| equation or figure | where |
| --- | --- |
| equations 1 and 2, correlation over a long temporal range | :func:`module.correlation_volume` |
| algorithm 1, figure 3c, the block | :class:`module.DCFBlock` |
| section 3.2, the volumes' pyramid | :meth:`module.DCFBlock.join`, :meth:`module.DCFBlock.carry` |
| section 3.3, tables 6 and 7, where the blocks go | :func:`network.build_dcf`, :data:`ARCHITECTURES` |
| section 4.4, directions of the correlation | :func:`decode.decode_displacement` |
| figures 4 and 5, the correlation pyramid | :func:`figure.draw` |
"""

from __future__ import annotations

from vizkit.contracts import Citation, Claim, MotionModule
from vizkit.net.architecture import X3D_MEAN, X3D_STD, Architecture
from vizkit.net.backbones import DEPTH_50, DEPTH_101
from vizkit.net.published import IMAGENET

_BUILD = "vizkit.motion.dcf.network:build_dcf"
_DEPTHWISE, _X3D = "R(2+1)D, depthwise in time, with DCF blocks", "X3D with DCF blocks"

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture("dcf-r2plus1d-50", "dcf", _DEPTHWISE, _BUILD, {"backbone": "depthwise", "layout": DEPTH_50}, 174, weights=IMAGENET[50]),
    Architecture("dcf-r2plus1d-101", "dcf", _DEPTHWISE, _BUILD, {"backbone": "depthwise", "layout": DEPTH_101}, 174, weights=IMAGENET[101]),
    Architecture("dcf-x3d-s", "dcf", _X3D, _BUILD, {"backbone": "x3d"}, frames=13, size_px=160, mean=X3D_MEAN, std=X3D_STD),
    Architecture("dcf-x3d-m", "dcf", _X3D, _BUILD, {"backbone": "x3d"}, frames=16, mean=X3D_MEAN, std=X3D_STD),
    Architecture("dcf-18", "dcf", "ResNet-18 on every frame with DCF blocks", _BUILD, {"backbone": "resnet", "residual_init": "scratch"}),
)
"""The named networks (section 3.3); the last is ours, for small checkpoints.

The paper's tables of costs and accuracies are not public, so nothing is compared."""

CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="dcf-toy",
        paper="dcf",
        statement=(
            "Correlation supplies the motion that a frame-wise network lacks: on eight directions of a textured patch, a tiny R2D with DCF "
            "blocks is right in at least 25 points more of the test clips than without, with every seed."
        ),
        published="Section 4.2: DCF improves X3D-S on Something-Something V1 by 3.0 points (accuracies on video are not checked here)",
        params="vizkit.contracts:ClaimSettings",
        run="vizkit.motion.dcf.claims:check_toy",
        minutes=4,
    ),
    Claim(
        name="dcf-velocity",
        paper="dcf",
        statement=(
            "A constant velocity keeps to one channel of every block: on random textures the largest correlation of every inner cell lies "
            "on the velocity's channel at the offsets +1 and +2, and on its mirror at -1 and -2, for all 25 whole velocities within reach."
        ),
        published="Section 3.2: the matching region is enlarged as the temporal step increases by a dilation factor (how much is not said)",
        params="vizkit.motion.dcf.claims:VelocitySettings",
        run="vizkit.motion.dcf.claims:check_velocity",
        minutes=0.3,
    ),
    Claim(
        name="dcf-cost",
        paper="dcf",
        statement=(
            "DCF adds at most 10 % of the backbone's multiply-adds, and in R(2+1)D-50 each correlation takes at least ten times fewer than "
            "a 3 x 3 x 3 convolution on the same channels (X3D's early stages have too few channels for that)."
        ),
        published="Section 3.3: a small overhead; appendix C: at least an order of magnitude smaller than the standard 3D convolution",
        params="vizkit.contracts:ClaimSettings",
        run="vizkit.motion.dcf.claims:check_cost",
        minutes=0.5,
    ),
    Claim(
        name="dcf-colours",
        paper="dcf",
        statement=(
            "The hue shows the right direction: at res2 of an untrained depthwise R(2+1)D-50 the cosine fields at offsets -1 and +1 are "
            "less than 6 degrees off on average, and in the right octant in more than 95 % of a moving patch for each of eight directions."
        ),
        published="Section 4.4, figures 4 and 5: the hue agrees with the motion (right red-purple, left green-blue)",
        params="vizkit.contracts:ClaimSettings",
        run="vizkit.motion.dcf.claims:check_colours",
        minutes=1,
    ),
)
"""What of the paper can be checked in minutes."""

MODULE = MotionModule(
    key="dcf",
    title="Dense correlation fields",
    citation=Citation("Dense Correlation Fields for Motion Modeling in Action Recognition", "Anonymous", "ICLR 2023 submission", 2023),
    architectures="vizkit.motion.dcf:ARCHITECTURES",
    params="vizkit.motion.dcf.analysis:Params",
    analyze="vizkit.motion.dcf.analysis:analyze",
    figure="vizkit.motion.dcf.figure:draw",
    unavailable="vizkit.motion.dcf.analysis:unavailable",
    score="vizkit.motion.dcf.score:score",
    judge="vizkit.motion.dcf.score:judge",
    headline="model_res3_angle_deg",
    at_point={"layout": "patch"},
    how_to_read=(
        "Each column is one stage, fine to coarse: the hue is the direction in which a cell's best match lies in the next frame, the "
        "saturation how far (full colour is written beside the wheel), and pale cells have no clear match; motion beyond a stage's "
        "reach shows as another direction, or pale."
    ),
    claims=CLAIMS,
)
"""DCF's entry of the catalogue."""
