"""The losses for small lesions in PyTorch and SciPy, with their gradients.

Each is a re-implementation, by plain operations, of what MONAI (unified focal, Hausdorff) or
the authors (boundary, Lovasz, blob, exponential logarithmic, log-cosh Dice), or nnU-Net
(top-k) compute. Requests:

  describe                                   -> versions
  batch SHAPE LOGITS TARGET                  reads float32 logits and uint8 class indices
  measure LOSS AT_LEAST AT_MOST              -> value, seconds of each call
"""

import platform
import time

import numpy as np
import scipy
import torch
import torch.nn.functional as F
from scipy import ndimage


def edt(mask):
    return ndimage.distance_transform_edt(mask)


def signed_distance(mask):
    if not mask.any() or mask.all():
        return np.zeros(mask.shape)
    return np.where(mask, 1 - edt(mask), edt(~mask))


def two_sided_distance(mask):
    if not mask.any() or mask.all():
        return np.zeros(mask.shape)
    return edt(mask) + edt(~mask)


class Peer:
    def describe(self):
        return {"python": platform.python_version(), "torch": torch.__version__, "scipy": scipy.__version__}

    def batch(self, shape, logits, target, threads):
        torch.set_num_threads(threads)
        self.logits = torch.from_numpy(np.fromfile(logits, "<f4").reshape(shape))
        labels = np.fromfile(target, "u1").reshape(shape[:1] + shape[2:])
        self.labels = torch.from_numpy(labels.astype(np.int64))
        self.hot = F.one_hot(self.labels, max(2, shape[1])).movedim(-1, 1).float()
        self.foreground = np.stack([labels == c for c in range(1, max(2, shape[1]))], 1)
        self.space = tuple(range(2, len(shape)))
        self.cache = {}
        return {}

    def measure(self, loss, at_least, at_most):
        """Calls until at_least seconds have passed. A first call of less than at_most is a
        warm-up."""
        f = getattr(self, loss.replace("-", "_"))

        def call():
            x = self.logits.detach().requires_grad_(True)
            start = time.perf_counter()
            value = f(x)
            value.backward()
            return value.item(), time.perf_counter() - start

        value, took = call()
        seconds, total = ([took], took) if took >= at_most else ([], 0.0)
        while not seconds or total < at_least and took < at_most:
            value, s = call()
            seconds.append(s)
            total += s
        return {"value": value, "seconds": seconds}

    def cached(self, name, make):
        if name not in self.cache:
            self.cache[name] = make()
        return self.cache[name]

    def ce(self, x):
        return F.cross_entropy(x, self.labels)

    def elements(self, x):
        return F.cross_entropy(x, self.labels, reduction="none")

    def topk_ce(self, x):
        e = self.elements(x).flatten()
        return torch.topk(e, int(e.numel() * 0.1), sorted=False).values.mean()

    def unified_focal(self, x):
        p = torch.softmax(x, 1).clamp(1e-7, 1 - 1e-7)
        hit, fp, fn = ((a * b).sum(self.space) for a, b in ((p, self.hot), (p, 1 - self.hot), (1 - p, self.hot)))
        r = 1 - (hit + 1e-7) / (hit + 0.6 * fn + 0.4 * fp + 1e-7)
        tversky = torch.stack([r[:, 0], r[:, 1].sqrt()]).mean()
        entropy = -self.hot * torch.log(p)
        focal = 0.4 * (1 - p[:, 0]).sqrt() * entropy[:, 0] + 0.6 * entropy[:, 1]
        return 0.5 * focal.mean() + 0.5 * tversky

    def fields(self, distance, masks):
        """A distance of each sample and class, of masks NxKx..."""
        return torch.from_numpy(np.stack([np.stack([distance(m) for m in sample]) for sample in masks])).float()

    def distances(self):
        return self.fields(signed_distance, self.foreground)

    def boundary(self, x):
        return (torch.softmax(x, 1)[:, 1:] * self.distances()).mean()

    def boundary_cached(self, x):
        return (torch.softmax(x, 1)[:, 1:] * self.cached("boundary", self.distances)).mean()

    def squares(self, masks):
        return self.fields(two_sided_distance, masks) ** 2

    def hausdorff_of(self, x, target):
        p = (torch.sigmoid(x) if x.shape[1] == 2 else torch.softmax(x, 1))[:, 1:]
        with torch.no_grad():
            weight = self.squares(p.detach().numpy() > 0.5) + target
        return ((p - self.hot[:, 1:]) ** 2 * weight).mean()

    def hausdorff(self, x):
        return self.hausdorff_of(x, self.squares(self.foreground))

    def hausdorff_cached(self, x):
        return self.hausdorff_of(x, self.cached("hausdorff", lambda: self.squares(self.foreground)))

    def log_hausdorff(self, x):
        return torch.log1p(self.hausdorff(x))

    def lovasz(self, x):
        p, losses = torch.softmax(x, 1), []
        for c in range(x.shape[1]):
            inside = self.hot[:, c].flatten()
            errors, order = torch.sort((inside - p[:, c].flatten()).abs(), descending=True)
            inside = inside[order]
            total = inside.sum()
            jaccard = 1 - (total - inside.cumsum(0)) / (total + (1 - inside).cumsum(0))
            steps = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
            losses.append(torch.dot(errors, steps))
        return torch.stack(losses).mean()

    def dice(self, p, t):
        return 1 - (2 * (p * t).sum(self.space) + 1e-5) / (p.sum(self.space) + t.sum(self.space) + 1e-5)

    def log_cosh_dice(self, x):
        return torch.log(torch.cosh(self.dice(torch.sigmoid(x), self.hot))).mean()

    def exponential_log(self, x):
        p = torch.softmax(x, 1)
        d = (2 * (p * self.hot).sum(self.space) + 1) / (p.sum(self.space) + self.hot.sum(self.space) + 1)
        return 0.8 * ((-torch.log(d)) ** 0.3).mean() + 0.2 * (self.elements(x) ** 0.3).mean()

    def dice_bce(self, x, t):
        return self.dice(torch.sigmoid(x), t).mean() + F.binary_cross_entropy_with_logits(x, t)

    def inner(self, x):
        return self.dice_bce(x[:, 1:], self.hot[:, 1:])

    def components(self):
        parts, n = ndimage.label(self.foreground[0, 0], np.ones((3, 3, 3)))
        return torch.from_numpy(parts)[None, None], n

    def blob(self, x):
        """The authors' loop: a loss of the whole image for each lesion, on masked logits."""
        x = x[:, 1:]
        parts, n = self.components()
        total = self.dice_bce(x, self.hot[:, 1:])
        for i in range(1, n + 1):
            own = parts == i
            total = total + self.dice_bce(x * (own | (parts == 0)), own.float()) / n
        return total
