"""Run a network in bfloat16 where that is faster: MONAI's own `amp` knows CUDA only."""

import logging
from typing import Any, Literal

import torch
from monai.inferers.inferer import SimpleInferer

from prostate_alm.errors import ArgumentError

Precision = Literal["float32", "bfloat16"]

logger = logging.getLogger(__name__)


class AutocastInferer(SimpleInferer):
    """MONAI's `SimpleInferer` under autocast; the result is float32 either way.

    Args:
        precision: "float32" is no autocast; "bfloat16" pays on processors that have it (avx512_bf16, AMX, GPUs).

    Raises:
        ArgumentError: another `precision`.
    """

    def __init__(self, precision: Precision = "float32") -> None:
        super().__init__()
        if precision not in ("float32", "bfloat16"):
            raise ArgumentError(f"`precision` is {precision!r}. Available: 'float32', 'bfloat16'.")
        self.enabled = precision == "bfloat16"
        # x86 alone is judged: what other processors can do, torch does not say
        if self.enabled and torch.backends.cpu.get_cpu_capability() == "AVX2" and not torch.cuda.is_available():
            logger.warning("this processor emulates bfloat16, at 4 to 9 times the time of float32; see `precision`.")

    def __call__(self, inputs: torch.Tensor, network: Any, *args: Any, **kwargs: Any) -> Any:
        """Logits of `inputs`, in float32."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.enabled):
            return super().__call__(inputs, network, *args, **kwargs).float()
