"""The losses and surface distances in PyTorch and SciPy, for comparison.

The losses are those of losses.py. Surface distances are computed as MONAI's metrics
do: masks cropped to their common bounding box, edges by erosion, SciPy's exact distance
transform.

The requests for serve.py and their responses:

  {"do": "describe"}
      -> {"python": …, "torch": …, "scipy": …}
  {"do": "batch", "shape": [N, C, X, Y, Z], "logits": FILE, "labels": FILE}
      -> {}; raw little-endian float32 and uint8, row-major
  {"do": "loss", "loss": NAME, "gradient": BOOL, "threads": T, "seconds": S}
      -> {"values": [v], "seconds": […]}; calls are repeated until they took S seconds
  {"do": "masks", "shape": [X, Y, Z], "prediction": FILE, "reference": FILE}
      -> {}; raw uint8
  {"do": "surface", "spacing": […], "tolerance": D, "seconds": S}
      -> {"values": [Hausdorff, average, surface Dice], "seconds": […]}
"""

import platform
import time

import numpy as np
import scipy
import torch
from scipy import ndimage

from losses import LOSSES


def edges(mask):
    return ndimage.binary_erosion(mask) ^ mask


def surface(prediction, reference, spacing, tolerance):
    either = prediction | reference
    box = tuple(slice(a.min(), a.max() + 1) for a in np.nonzero(either))
    # A margin of one voxel on every side, as the erosion treats the outside as background.
    p, r = np.pad(prediction[box], 1), np.pad(reference[box], 1)
    p, r = edges(p), edges(r)
    to_r = ndimage.distance_transform_edt(~r, sampling=spacing)[p]
    to_p = ndimage.distance_transform_edt(~p, sampling=spacing)[r]
    count = len(to_r) + len(to_p)
    return [
        max(to_r.max(), to_p.max()),
        (to_r.sum() + to_p.sum()) / count,
        ((to_r <= tolerance).sum() + (to_p <= tolerance).sum()) / count,
    ]


def timed(call, at_least):
    """Repeats a call until the calls took so many seconds, at least once."""
    seconds, total = [], 0.0
    while not seconds or total < at_least:
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
        total += seconds[-1]
    return result, seconds


class Peer:
    def describe(self):
        return {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "scipy": scipy.__version__,
        }

    def batch(self, shape, logits, labels):
        self.logits = torch.from_numpy(np.fromfile(logits, "<f4").reshape(shape))
        self.labels = torch.from_numpy(np.fromfile(labels, "u1").reshape([shape[0], 1] + shape[2:]))
        return {}

    def loss(self, loss, gradient, threads, seconds):
        torch.set_num_threads(threads)
        function = LOSSES[loss]

        def forward():
            with torch.no_grad():
                return function(self.logits, self.labels).item()

        def both():
            x = self.logits.detach().requires_grad_()
            value = function(x, self.labels)
            value.backward()
            return value.item()

        value, taken = timed(both if gradient else forward, seconds)
        return {"values": [value], "seconds": taken}

    def masks(self, shape, prediction, reference):
        self.prediction = np.fromfile(prediction, "u1").reshape(shape) != 0
        self.reference = np.fromfile(reference, "u1").reshape(shape) != 0
        return {}

    def surface(self, spacing, tolerance, seconds):
        values, taken = timed(lambda: surface(self.prediction, self.reference, spacing, tolerance), seconds)
        return {"values": [float(v) for v in values], "seconds": taken}
