"""The members computed by OpenVINO in float32, three to four times as fast as torch on a CPU.

The graph is put together from the modules by OpenVINO's operators. Its own converter takes 10 s for ten members, goes
through TorchScript, which is deprecated, and offers nothing more for networks of five kinds of layers.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from prostate_alm.errors import ArgumentError
from prostate_alm.inference.members import PATHS, NetworkPath, bias_of, members_of, path_of
from prostate_alm.networks.ensemble import EnsembleNet
from prostate_alm.networks.two_path import TwoPathNet

# OpenVINO reports every import to Google Analytics unless its user opted out; without this module it does not.
sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType] - None forbids the import

import openvino as ov  # noqa: E402
from openvino import opset15 as ops  # noqa: E402

EXACT = {
    "INFERENCE_PRECISION_HINT": "f32",  # the default takes bfloat16 where the CPU has it, which gets convolutions wrong
    "EXECUTION_MODE_HINT": "ACCURACY",
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "ENABLE_CPU_PINNING": False,  # another process may be busy on the core that it would wait for
}
SPACE = (2, 3, 4)
REDUCTIONS = (ops.reduce_mean, ops.reduce_max)


class OpenVINOMembers:
    """The members as two compiled graphs, one a path.

    Args:
        network: the ensemble, on the CPU, in evaluation.
        shape: ``(C, H, W, D)`` of the images.

    Raises:
        ArgumentError: the network holds a layer that is not known here.
    """

    backend = "openvino"

    def __init__(self, network: EnsembleNet, shape: tuple[int, int, int, int]) -> None:
        members = members_of(network.eval())
        self._bias = torch.stack([bias_of(member) for member in members]).detach()
        core = ov.Core()
        self._graphs = {path: core.compile_model(_graph(members, path, shape), "CPU", EXACT) for path in PATHS}

    def logits(self, image: torch.Tensor) -> torch.Tensor:
        """``[C, H, W, D]`` -> the logit of each of the K members, ``[K]``."""
        return self.path_share("t2", image) + self.path_share("diffusion", image) + self._bias

    def path_share(self, path: NetworkPath, image: torch.Tensor) -> torch.Tensor:
        """The part of each member's logit that comes through one path, ``[K]``; NaN of an image that is not finite.

        OpenVINO's ReLU turns NaN into 0, which would hide it.
        """
        if not torch.isfinite(image).all():
            return torch.full_like(self._bias, torch.nan)
        return torch.from_numpy(self._graphs[path](image[None].numpy())[0].copy())


def _graph(members: Sequence[TwoPathNet], path: NetworkPath, shape: tuple[int, int, int, int]) -> ov.Model:
    """``[1, C, H, W, D]`` -> the shares of one path in the members' logits, ``[K]``."""
    image = ops.parameter([1, *shape], np.float32)
    layers, channels, _ = path_of(members[0], path)
    seen = ops.gather(image, ops.constant(np.array(channels)), ops.constant(1))
    pooled = isinstance(layers[0], nn.AvgPool3d)
    seen = _rows_as_channels(_layer(seen, layers[0]) if pooled else seen)
    shares = []
    for member in members:
        layers, _, weights = path_of(member, path)
        convolution, *others = list(layers)[pooled:]
        node = _layer(seen, _over_channels(convolution))
        for layer in others:
            node = _layer(node, layer)
        features = ops.concat([reduce(node, ops.constant(np.array(SPACE))) for reduce in REDUCTIONS], 1)
        shares.append(ops.reduce_sum(ops.multiply(features, _constant(weights[None])), ops.constant(np.array([1]))))
    return ov.Model([ops.concat(shares, 0)], [image])  # pyright: ignore[reportGeneralTypeIssues] - its stubs name another


def _rows_as_channels(node: Any) -> Any:
    """``[1, C, H, W, D]`` -> ``[1, 3C, H, W, D]``: the row before, the row itself and the row after as channels.

    OpenVINO is slow with the first convolution, which has one or two channels; with three times as many and a third of
    the places the members take a tenth less.
    """
    height, border = node.output(0).shape[2], np.array([0, 0, 1, 0, 0])
    padded = ops.pad(node, border, border, "constant", np.float32(0))
    rows = [
        ops.slice(padded, np.array([first]), np.array([first + height]), np.array([1]), np.array([2]))
        for first in range(3)
    ]
    return ops.concat(rows, 1)


def _over_channels(layer: nn.Module) -> nn.Conv3d:
    """A path's first convolution for `_rows_as_channels`."""
    assert isinstance(layer, nn.Conv3d)
    weight = layer.weight.detach().transpose(1, 2).flatten(1, 2).unsqueeze(2)  # [O, C, 3, 3, 3] -> [O, 3C, 1, 3, 3]
    made = nn.Conv3d(weight.shape[1], weight.shape[0], (1, 3, 3), padding=(0, 1, 1), bias=layer.bias is not None)
    made.weight, made.bias = nn.Parameter(weight.contiguous()), layer.bias
    return made


def _layer(node: Any, layer: nn.Module) -> Any:
    """One layer of a path, as `TwoPathNet` makes them."""
    match layer:
        case nn.Conv3d():
            padding = list(layer.padding)
            product = ops.convolution(
                node, _constant(layer.weight), list(layer.stride), padding, padding, list(layer.dilation)
            )
            return product if layer.bias is None else ops.add(product, _constant(layer.bias.reshape(1, -1, 1, 1, 1)))
        case nn.MaxPool3d():
            size = list(layer.kernel_size)  # pyright: ignore[reportArgumentType] - given as three numbers
            return ops.max_pool(node, size, [1] * 3, [0] * 3, [0] * 3, size).output(0)
        case nn.AvgPool3d():
            size = list(layer.kernel_size)  # pyright: ignore[reportArgumentType]
            return ops.avg_pool(node, size, [0] * 3, [0] * 3, size, exclude_pad=True)
        case nn.BatchNorm3d(weight=scale, bias=shift, running_mean=mean, running_var=variance):
            return ops.batch_norm_inference(node, *map(_constant, (scale, shift, mean, variance)), layer.eps)
        case nn.ReLU():
            return ops.relu(node)
        case _:
            raise ArgumentError(f"no OpenVINO operator is set for {type(layer).__name__}; use the torch backend.")


def _constant(values: Any) -> Any:
    return ops.constant(values.detach().numpy())
