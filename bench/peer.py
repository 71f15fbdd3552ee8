"""The losses and surface distances in PyTorch and SciPy, for comparison.

The losses are those of losses.py. Surface distances are computed as MONAI's metrics
do: masks cropped to their common bounding box, edges by erosion, SciPy's exact distance
transform.

The requests for serve.py and their responses:

  {"do": "describe"}
      -> {"python": …, "torch": …, "scipy": …, "compile": BOOL, "monai": …,
          "monai_losses": […]}; whether there is torch.compile, the version of MONAI or "",
         and the losses that it has a class for
  {"do": "batch", "shape": [N, C, …], "logits_type": T, "target_type": U, "maps": BOOL,
   "logits": FILE, "target": FILE, "weight": FILE}
      -> {}; raw little-endian, row-major, float32, float64 or uint8. The target is a map
         for each channel or class indices; the voxel weight is float32 and may be absent
  {"do": "loss", "loss": NAME, "gradient": BOOL, "options": {…}, "way": WAY,
   "threads": T, "seconds": S}
      -> {"values": […], "seconds": […]}: the loss and, with its gradient, the sums of the
         gradient's positive and negative numbers. Options are those of losses.py but the
         weight; WAY is "operations", "compiled" or "classes", MONAI's, which take no options.
         The values of an un-reduced loss are Σ upstream·loss and the gradient of
         that. Calls are repeated until they took S seconds. The first request of its kind
         compiles, in the first call
  {"do": "masks", "shape": [X, Y, Z], "prediction": FILE, "reference": FILE}
      -> {}; raw uint8
  {"do": "surface", "spacing": […], "areas": […], "tolerance": D, "seconds": S}
      -> {"values": [Hausdorff, average, surface Dice], "seconds": […]}; over the surfaces'
         voxels, or where areas is not null over their elements: areas[c] is that of a corner
         between eight voxels, bit 4i+2j+k of c being the one that lies i, j, k after it
"""

import platform
import time

import numpy as np
import scipy
import torch
from scipy import ndimage

import monai_losses
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


def corners(mask):
    """The codes of the corners of a mask with a margin."""
    codes = np.zeros([n - 1 for n in mask.shape], np.uint8)
    for bit in range(8):
        at = [bit >> 2, bit >> 1 & 1, bit & 1]
        codes |= mask[tuple(slice(a, a + n) for a, n in zip(at, codes.shape))].astype(np.uint8) << bit
    return codes


def elements(prediction, reference, spacing, areas, tolerance):
    either = prediction | reference
    box = tuple(slice(a.min(), a.max() + 1) for a in np.nonzero(either))
    codes_p, codes_r = corners(np.pad(prediction[box], 1)), corners(np.pad(reference[box], 1))
    p, r = (codes_p > 0) & (codes_p < 255), (codes_r > 0) & (codes_r < 255)
    distance = np.concatenate([
        ndimage.distance_transform_edt(~r, sampling=spacing)[p],
        ndimage.distance_transform_edt(~p, sampling=spacing)[r],
    ])
    area = np.concatenate([areas[codes_p[p]], areas[codes_r[r]]])
    return [distance.max(), (distance * area).sum() / area.sum(), area[distance <= tolerance].sum() / area.sum()]


TYPES = {"float32": "<f4", "float64": "<f8", "uint8": "u1"}


def read(path, name, shape):
    return torch.from_numpy(np.fromfile(path, TYPES[name]).reshape(shape))


def upstream_like(v):
    """The upstream gradient: numbers from 0.5 to 1.5 in mixed order."""
    return (0.5 + (torch.arange(v.numel()) * 389 % 1024) / 1024).to(v.dtype).reshape(v.shape)


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
    compiled = (None, None)  # the last compiled loss, after what it was compiled for

    def describe(self):
        return {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "scipy": scipy.__version__,
            "compile": hasattr(torch, "compile"),
            "monai": monai_losses.version(),
            "monai_losses": sorted(monai_losses.CLASSES) if monai_losses.version() else [],
        }

    def batch(self, shape, logits_type, target_type, maps, logits, target, weight=None):
        voxels = [shape[0], 1] + shape[2:]
        self.compiled = (None, None)
        self.logits = read(logits, logits_type, shape)
        self.target = read(target, target_type, shape if maps else voxels)
        self.weight = None if weight is None else read(weight, "float32", voxels)
        return {}

    def function(self, loss, way, *key):
        """The loss, compiled once for the key: code depends on the number of threads."""
        if way == "operations":
            return LOSSES[loss]
        if way == "classes":
            return monai_losses.function(loss, self.logits, self.target)
        if self.compiled[0] != (loss, *key):
            torch._dynamo.reset()
            self.compiled = ((loss, *key), torch.compile(LOSSES[loss], dynamic=False))
        return self.compiled[1]

    def loss(self, loss, gradient, options, way, threads, seconds):
        torch.set_num_threads(threads)
        evaluate = self.function(loss, way, gradient, options.copy(), threads)
        if self.weight is not None:
            options["weight"] = self.weight

        def function(x):
            return evaluate(x, self.target, **options)

        upstream = None
        if options.get("reduction") == "none":
            with torch.no_grad():
                upstream = upstream_like(LOSSES[loss](self.logits, self.target, **options))

        def forward():
            with torch.no_grad():
                return finish(function(self.logits)), None

        def both():
            x = self.logits.detach().requires_grad_()
            value = function(x)
            value.backward(upstream)
            return finish(value.detach()), x.grad

        def finish(value):
            return value if upstream is not None else value.item()

        (value, grad), taken = timed(both if gradient else forward, seconds)
        if upstream is not None:
            value = (value.double() * upstream.double()).sum().item()
        values = [value]
        if grad is not None:
            grad = grad.double()
            values += [grad.clamp(min=0).sum().item(), grad.clamp(max=0).sum().item()]
        return {"values": values, "seconds": taken}

    def masks(self, shape, prediction, reference):
        self.prediction = np.fromfile(prediction, "u1").reshape(shape) != 0
        self.reference = np.fromfile(reference, "u1").reshape(shape) != 0
        return {}

    def surface(self, spacing, areas, tolerance, seconds):
        def measure():
            if areas is None:
                return surface(self.prediction, self.reference, spacing, tolerance)
            return elements(self.prediction, self.reference, spacing, np.array(areas), tolerance)

        values, taken = timed(measure, seconds)
        return {"values": [float(v) for v in values], "seconds": taken}
