"""Grad-CAM and its relatives on a probed run: where a stage's features speak for a label.

The arithmetic is that of the grad-cam library (github.com/jacobgil/pytorch-grad-cam), whose classes are called on what our own pass
gives: the stage's output, and the gradient of the label's logit there. The library's own passes are not used: they hook the network,
let it gather gradients, scale every map to 1, and some of them leave a layer exchanged. This is the only module that imports it.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vizkit.contracts import AttentionVolume, Prediction, Stage
from vizkit.errors import NotAvailableError, SettingError, unknown_name
from vizkit.figure.spec import Table
from vizkit.net.head import Scalar, head_of, new_head

if TYPE_CHECKING:
    from vizkit.net.probe import ProbedRun

PREDICTED = "predicted"

Method = Literal[
    "gradcam", "hirescam", "gradcam++", "xgradcam", "layercam", "gradcamelementwise", "eigencam", "eigengradcam", "segeigencam",
    "kpca_cam", "fem", "finercam", "shapleycam", "randomcam",
]  # fmt: skip


@dataclass(frozen=True)
class CamMethod:
    """One way to make a map of activations and gradients."""

    kind: str
    """Class of the library."""
    title: str
    """What people call it."""
    reference: str
    """Where it is from."""
    uses_label: bool = True
    """Whether the map depends on the label."""
    draws: bool = False
    """Whether the library draws random numbers for it."""
    decomposes: bool = False
    """Whether it decomposes all cells x channels, which large maps are too large for."""


METHODS: dict[str, CamMethod] = {
    "gradcam": CamMethod("GradCAM", "Grad-CAM", "Selvaraju et al., ICCV 2017"),
    "hirescam": CamMethod("HiResCAM", "HiResCAM", "Draelos and Carin, 2020"),
    "gradcam++": CamMethod("GradCAMPlusPlus", "Grad-CAM++", "Chattopadhyay et al., WACV 2018"),
    "xgradcam": CamMethod("XGradCAM", "XGrad-CAM", "Fu et al., BMVC 2020"),
    "layercam": CamMethod("LayerCAM", "LayerCAM", "Jiang et al., TIP 2021"),
    "gradcamelementwise": CamMethod("GradCAMElementWise", "Grad-CAM, element by element", "Pillai and Pirsiavash, 2021"),
    "eigencam": CamMethod("EigenCAM", "Eigen-CAM", "Muhammad and Yeasin, IJCNN 2020", uses_label=False, decomposes=True),
    "eigengradcam": CamMethod("EigenGradCAM", "Eigen-Grad-CAM", "Muhammad and Yeasin, IJCNN 2020", decomposes=True),
    "segeigencam": CamMethod("SegEigenCAM", "Seg-Eigen-CAM", "Chung and Ying, Applied Sciences 2025", decomposes=True),
    "kpca_cam": CamMethod("KPCA_CAM", "KPCA-CAM", "Karmani et al., 2024", uses_label=False, draws=True, decomposes=True),
    "fem": CamMethod("FEM", "FEM", "Fuad et al., IPTA 2020", uses_label=False),
    "finercam": CamMethod("GradCAM", "Finer-CAM", "Zhang et al., CVPR 2025"),
    "shapleycam": CamMethod("ShapleyCAM", "ShapleyCAM", "Cai, 2025"),
    "randomcam": CamMethod("RandomCAM", "Random channel weights", "a control", uses_label=False, draws=True),
}
"""What can be had of a clip. ``finercam`` is Grad-CAM of the logit against the logits nearest to it."""

NOT_ON_VIDEO: dict[str, str] = {
    "ablationcam": "it repeats the input as a batch of pictures, and leaves its own layer in the network when a clip does not fit",
    "scorecam": "it spreads channels over the input as over a picture, which maps with a time axis do not fit",
    "fullgrad": "it adds up gradients of the biases of all convolutions down to the input picture; no stage has such a map",
    "guidedbackprop": "it exchanges the ReLUs of the network, and gives the gradient of input pixels, not the map of a stage",
    "refinecam": "it multiplies the maps of several layers, each scaled to 1; look at the stages one by one",
    "sess": "it slides windows over a picture and takes no clip",
    "dff": "it factorizes features and explains no label",
}
"""Methods of the library that cannot be had of a clip, and why."""

COMPARED = 3
"""Finer-CAM compares a label with so many others (the library's default)."""
MOST_CELLS = 4096
"""A decomposition takes the square of the number of cells in memory, and more than that in time."""
SEED = 0

_DRAWING = threading.Lock()


def attend(run: ProbedRun, *, stage: str | None = None, target: str | int = PREDICTED, method: str = "gradcam") -> AttentionVolume:
    """Work out where a stage's features speak for a label.

    Grad-CAM weighs every channel by the mean over time and space of the gradient of the label's logit, and adds the channels up
    (Selvaraju et al., equations 1 and 2, with time as a further axis); the other methods differ in the weights. The gradient is taken
    in the part of the network behind the stage alone; a further label of the same stage costs one more pass backwards through it.

    Args:
        run: any probed run.
        stage: name of a stage; the last one when None.
        target: ``"predicted"``, the name of a label, or its number.
        method: one of :data:`METHODS`.

    Returns:
        The raw map, not scaled.

    Raises:
        SettingError: an unknown stage, label or method, a map that is too large to be decomposed, or no label to compare with.
        NotAvailableError: a method that cannot be had of a clip, a network without stages, or one that does not repeat itself.
    """
    check_method(method)
    if not run.network.stages:
        raise NotAvailableError(f"{run.network.name} publishes no stages whose features could be looked at.")
    place = run.network.stage(stage) if stage else run.network.stages[-1]
    index = label_index(run.prediction, target)
    features = run.taps[place.name].after
    if refused := _refused(run, place, method):
        code, reason = refused
        raise SettingError(f"method is {method!r}, which {reason}", code=code)
    gradient, signed = _map(run, place, index, method)
    known = np.isfinite(signed)
    signed = np.where(known, signed, np.float32(0))
    values = np.maximum(signed, np.float32(0))
    return AttentionVolume(
        values=values,
        signed=signed,
        target=index,
        label=run.prediction.labels[index],
        stage=place.name,
        method=method,
        grid=place.grid(features.shape[1:]),
        zero_because="" if values.any() else _why_zero(features, gradient, signed, place.name, run.prediction.labels[index]),
        undefined_cells=int((~known).sum()),
    )


@dataclass(frozen=True)
class MethodState:
    """Whether a method of the library can be had of one stage of a run."""

    name: str
    """What it is chosen by; that of the library's class, in small letters, where it cannot be had."""
    available: bool
    """Whether there is a map."""
    reason: str
    """Why there is none, or what a reader of the map has to know; empty where there is nothing to say."""


def methods_of(run: ProbedRun, stage: str | None = None) -> tuple[MethodState, ...]:
    """Every method of the grad-cam library: which of them can be had of a stage, and why others cannot.

    Args:
        run: any probed run.
        stage: name of a stage; the last one when None.

    Raises:
        SettingError: an unknown stage.
        NotAvailableError: a network without stages.
    """
    if not run.network.stages:
        raise NotAvailableError(f"{run.network.name} publishes no stages whose features could be looked at.")
    place = run.network.stage(stage) if stage else run.network.stages[-1]
    found = []
    for name, method in METHODS.items():
        refused = _refused(run, place, name)
        reason = f"It {refused[1]}" if refused else "" if method.uses_label else "The map does not depend on the label."
        found.append(MethodState(name, refused is None, reason))
    never = (MethodState(name, False, f"{reason[0].upper()}{reason[1:]}.") for name, reason in NOT_ON_VIDEO.items())
    return (*found, *never)


def tabulate_methods(methods: Sequence[MethodState]) -> Table:
    """One row for each method.

    Args:
        methods: from :func:`methods_of`.
    """
    rows = (
        (state.name, state.available, state.reason, METHODS[state.name].reference if state.name in METHODS else "") for state in methods
    )
    return Table(("method", "available", "reason", "source"), tuple(rows))


def _refused(run: ProbedRun, stage: Stage, method: str) -> tuple[str, str] | None:
    """Code and reason why a method cannot be had of a stage, as the end of a sentence; None where it can."""
    cells = run.taps[stage.name].after[0].numel()
    if METHODS[method].decomposes and cells > MOST_CELLS:
        return "too_large", f"can decompose up to {MOST_CELLS:,} cells, but {stage.name} has {cells:,}; take a deeper stage."
    if method == "finercam" and len(run.prediction.logits) < 2:
        return "method", "holds a label against others, but the network knows one label only."
    return None


def check_method(method: str) -> None:
    """Refuse a method that is not there.

    Raises:
        SettingError: an unknown method; the message lists the known ones.
        NotAvailableError: one that cannot be had of a clip; the message says why.
    """
    if method in NOT_ON_VIDEO:
        raise NotAvailableError(
            f"Method {method!r} cannot be had of a clip: {NOT_ON_VIDEO[method]}. Known: {', '.join(get_args(Method))}.", code="method"
        )
    if method not in METHODS:
        raise unknown_name("method", method, get_args(Method))


def label_index(prediction: Prediction, target: str | int) -> int:
    """The number of the label that is meant.

    Args:
        prediction: what the network said.
        target: ``"predicted"``, the name of a label, or its number (as a text too).

    Raises:
        SettingError: there is no such label; the message names near ones.
    """
    labels = prediction.labels
    if target == PREDICTED:
        return int(prediction.logits.argmax())
    if isinstance(target, str) and target in labels:
        return labels.index(target)
    number = int(target) if not isinstance(target, bool) and str(target).isdecimal() else -1
    if 0 <= number < len(labels):
        return number
    near = difflib.get_close_matches(str(target), labels, n=3, cutoff=0.4) or list(labels[:3])
    raise SettingError(
        f"target is {target!r}; accepted are 'predicted', a number from 0 to {len(labels) - 1}, or a label such as "
        f"{', '.join(repr(label) for label in near)}.",
        code="target",
    )


def _map(run: ProbedRun, stage: Stage, index: int, method: str) -> tuple[torch.Tensor | None, NDArray[np.float32]]:
    """Gradient [1, C, T, H, W] (None where the method needs none) and map [T, H, W] before negative values are cut off."""
    if method == "shapleycam":  # its second derivative uses the graph up
        head = new_head(run, stage)
        gradient = head.gradient(lambda logits: logits[index], differentiable=True)
        if not gradient.requires_grad:  # a head without a second derivative
            gradient.requires_grad_()
        return gradient, _library_map(method, head.leaf, gradient)
    features = run.taps[stage.name].after[None].cpu().numpy()
    if not METHODS[method].uses_label:
        return None, _library_map(method, features, np.zeros_like(features))
    gradient = head_of(run, stage).gradient(_scalar(run.prediction, index, method))
    return gradient, _library_map(method, features, gradient.cpu().numpy())


def _scalar(prediction: Prediction, index: int, method: str) -> Scalar:
    """What is derived: the label's logit, for Finer-CAM its distance from the logits nearest to it."""
    if method != "finercam":
        return lambda logits: logits[index]
    from pytorch_grad_cam.utils.model_targets import FinerWeightedTarget

    nearest = np.argsort(np.abs(prediction.logits - prediction.logits[index]), kind="stable")
    others = [int(other) for other in nearest if other != index][:COMPARED]
    target: Scalar = FinerWeightedTarget(index, others, 1)
    return target


def _library_map(method: str, features: Any, gradient: Any) -> NDArray[np.float32]:
    """The library's formula on features and gradient [1, C, T, H, W]; a module of one weight stands for the network."""
    import pytorch_grad_cam

    stand_in = nn.Linear(1, 1)
    kind = getattr(pytorch_grad_cam, METHODS[method].kind)
    drawn = _same_draw() if METHODS[method].draws else nullcontext()
    with kind(stand_in, [stand_in]) as cam, drawn, np.errstate(all="ignore"):  # what is not finite is counted
        found = cam.get_cam_image(None, None, None, features, gradient, False)
    return np.asarray(found[0], np.float32)


@contextmanager
def _same_draw() -> Iterator[None]:
    """The library draws from NumPy's global generator: the same numbers each time, and nothing of it left behind."""
    with _DRAWING:
        before = np.random.get_state()  # noqa: NPY002
        np.random.seed(SEED)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002


def _why_zero(features: torch.Tensor, gradient: torch.Tensor | None, signed: NDArray[np.float32], stage: str, label: str) -> str:
    """One sentence: why no cell speaks for the label."""
    if not bool(features.any()):
        return f"The map is zero because all features at {stage} are."
    if gradient is not None and not bool(gradient.any()):
        return (
            f"The map is zero because no cell of {stage} reaches the logit of {label!r}: a head that takes a class token, or weights of "
            "zero, stand between; take an earlier stage."
        )
    if signed.min() < 0:
        return (
            f"The map is zero because the features at {stage} speak against {label!r} everywhere ({signed.min():.3g} to "
            f"{signed.max():.3g} before negative values are cut off)."
        )
    return f"The map is zero because features and gradient at {stage} are never above zero in the same place."
