"""The losses and surface distances in PyTorch and SciPy, for comparison.

Each loss is composed of plain PyTorch operations the way MONAI composes it: a
one-hot copy of the label, an activation, products and sums, and autograd for the
gradient. Surface distances are those of MONAI's metrics: masks cropped to their
common box, edges by erosion, SciPy's exact distance transform.

It reads requests as JSON, one a line, from standard input, and answers each with
one line of JSON on standard output:

  {"do": "describe"}
      -> {"python": …, "torch": …, "scipy": …}
  {"do": "batch", "shape": [N, C, X, Y, Z], "logits": FILE, "labels": FILE}
      -> {}; raw little-endian float32 and uint8, row-major
  {"do": "loss", "loss": NAME, "gradient": BOOL, "threads": T, "seconds": S}
      -> {"values": [v], "seconds": […]}; S is the least total time of the calls,
         which are at least one
  {"do": "masks", "shape": [X, Y, Z], "prediction": FILE, "reference": FILE}
      -> {}; raw uint8
  {"do": "surface", "spacing": […], "tolerance": D, "seconds": S}
      -> {"values": [Hausdorff, average, surface Dice], "seconds": […]}

A request that fails is answered with {"error": TEXT}.
"""

import json
import platform
import signal
import sys
import time

import numpy as np
import scipy
import torch
import torch.nn.functional as F
from scipy import ndimage


def one_hot(label, channels):
    """N×1×space class indices as N×C×space float maps."""
    shape = list(label.shape)
    shape[1] = channels
    maps = torch.zeros(shape, dtype=torch.float32)
    return maps.scatter_(1, label.long(), 1)


def activate(x, activation):
    return torch.softmax(x, 1) if activation == "softmax" else torch.sigmoid(x)


def spatial(x):
    return list(range(2, x.dim()))


def dice(x, label, activation="sigmoid", squared=True, jaccard=False, smooth=1e-5):
    t = one_hot(label, x.shape[1])
    p = activate(x, activation)
    axes = spatial(x)
    intersection = torch.sum(t * p, axes)
    if squared:
        sum_t, sum_p = torch.sum(t**2, axes), torch.sum(p**2, axes)
    else:
        sum_t, sum_p = torch.sum(t, axes), torch.sum(p, axes)
    denominator = sum_t + sum_p
    if jaccard:
        denominator = 2 * (denominator - intersection)
    return torch.mean(1 - (2 * intersection + smooth) / (denominator + smooth))


def generalized_dice(x, label, smooth=1e-5):
    t = one_hot(label, x.shape[1])
    p = torch.sigmoid(x)
    axes = spatial(x)
    intersection = torch.sum(t * p, axes)
    sum_t, sum_p = torch.sum(t, axes), torch.sum(p, axes)
    w = 1 / (sum_t * sum_t)
    infinite = torch.isinf(w)
    largest = torch.where(infinite, torch.zeros_like(w), w).max(1, keepdim=True).values
    w = torch.where(infinite, largest, w)
    numerator = 2 * torch.sum(w * intersection, 1) + smooth
    denominator = torch.sum(w * (sum_t + sum_p), 1) + smooth
    return torch.mean(1 - numerator / denominator)


def tversky(x, label, alpha=0.5, beta=0.5, gamma=1.0, smooth=1e-5):
    t = one_hot(label, x.shape[1])
    p = torch.sigmoid(x)
    axes = spatial(x)
    tp = torch.sum(p * t, axes)
    fp = alpha * torch.sum(p * (1 - t), axes)
    fn = beta * torch.sum((1 - p) * t, axes)
    score = 1 - (tp + smooth) / (tp + fp + fn + smooth)
    return torch.mean(score if gamma == 1 else score**gamma)


def cross_entropy(x, label):
    return F.cross_entropy(x, label.squeeze(1).long())


def binary_cross_entropy(x, label):
    return F.binary_cross_entropy_with_logits(x, one_hot(label, x.shape[1]))


def focal_elements(x, t, gamma):
    """The sigmoid focal elements; gamma is a number or a tensor that broadcasts."""
    element = x - x * t - F.logsigmoid(x)
    miss = F.logsigmoid(-x * (t * 2 - 1))
    return (miss * gamma).exp() * element


def focal(x, label, gamma=2.0):
    return torch.mean(focal_elements(x, one_hot(label, x.shape[1]), gamma))


def shares(mask):
    """γ_va and γ_mSa of each sample of an N×1×space 0/1 mask."""
    mask = mask.float()
    share = mask.mean(dim=spatial(mask))
    squares = 0
    for axis in spatial(mask):
        squares = squares + torch.gradient(mask, dim=axis)[0] ** 2
    return share, torch.sqrt(squares).mean(dim=spatial(mask))


def broadcast(v, x):
    """N×C or N×1 numbers against N×C×space."""
    return v.reshape(list(v.shape) + [1] * (x.dim() - 2))


def afl(x, label):
    """The released form: channel weights, γ of the whole batch."""
    with torch.no_grad():
        mask = label > 0
        share = mask.float().mean()
        gamma = share + shares(mask[:1])[1][0, 0]
        weight = torch.stack([1 - share, share])[None]
    return torch.mean(focal_elements(x, one_hot(label, 2), gamma) * broadcast(weight, x))


def afl_paper(x, label, balanced=False):
    with torch.no_grad():
        mask = label > 0
        share, smoothness = shares(mask)
        gamma, alpha = share + smoothness, 1 - share
        if balanced:
            weight = torch.where(mask, broadcast(alpha, x), broadcast(1 - alpha, x))
        else:
            weight = broadcast(alpha, x)
    return torch.mean(focal_elements(x, one_hot(label, x.shape[1]), broadcast(gamma, x)) * weight)


def afl_multiclass(x, label):
    """A softmax focal loss with a γ and an α of each class."""
    with torch.no_grad():
        share, smoothness = shares(label > 0)
        gammas, alphas = [share + smoothness], [share]
        for c in range(1, x.shape[1]):
            share, smoothness = shares(label == c)
            gammas.append(share + smoothness)
            alphas.append(1 - share)
        gamma = broadcast(torch.cat(gammas, 1), x)
        alpha = broadcast(torch.cat(alphas, 1), x)
    t = one_hot(label, x.shape[1])
    log_p = torch.log_softmax(x, 1)
    return torch.mean(-alpha * t * (1 - log_p.exp()).pow(gamma) * log_p)


LOSSES = {
    "tversky": tversky,
    "ce": cross_entropy,
    "iou": lambda x, y: dice(x, y, jaccard=True),
    "dice": dice,
    "dice-ce": lambda x, y: dice(x, y, "softmax", squared=False) + cross_entropy(x, y),
    "dice-focal": lambda x, y: dice(x, y, squared=False) + focal(x, y),
    "fl": focal,
    "afl": afl,
    "afl-paper": afl_paper,
    "afl-balanced": lambda x, y: afl_paper(x, y, balanced=True),
    "afl-multiclass": afl_multiclass,
    "bce": binary_cross_entropy,
    "generalized-dice": generalized_dice,
    "focal-tversky": lambda x, y: tversky(x, y, 0.3, 0.7, 4 / 3),
}


def edges(mask):
    return ndimage.binary_erosion(mask) ^ mask


def surface(prediction, reference, spacing, tolerance):
    either = prediction | reference
    box = tuple(slice(a.min(), a.max() + 1) for a in np.nonzero(either))
    # A voxel of margin on every side, as the erosion takes what lies outside for background.
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


def timed(call, least):
    """Calls until the calls took at least so many seconds, at least once."""
    seconds, total = [], 0.0
    while not seconds or total < least:
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


def main():
    # Ctrl-C goes to every process of the terminal; the one that asks decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    peer = Peer()
    for line in sys.stdin:
        try:
            request = json.loads(line)
            answer = getattr(peer, request.pop("do"))(**request)
        except Exception as error:  # the other side decides what to do about it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
