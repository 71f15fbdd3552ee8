"""The losses in PyTorch, for comparison.

Each is composed of PyTorch operations as in MONAI: a one-hot copy of the label, an
activation, products and sums, with the gradient by autograd.
Logits are N×C×space floats. The target is N×1×space class indices of any integer type,
or N×C×space maps of any type; of one channel it is the map. All are on one device.

Every loss takes three options: the voxel weight (N×1×space) multiplies the elements of a
pointwise loss, or p·t, p and t in the sums of an overlap loss; the reduction is "mean" or
"none"; smoothing is the label smoothing of the cross-entropy.
"""

import torch
import torch.nn.functional as F


def one_hot(label, channels, dtype=torch.float32):
    """N×1×space class indices as N×C×space float maps."""
    shape = list(label.shape)
    shape[1] = channels
    maps = torch.zeros(shape, dtype=dtype, device=label.device)
    return maps.scatter_(1, label.long(), 1)


def is_maps(x, target):
    return target.shape[1] == x.shape[1]


def target_maps(x, target):
    """The target as N×C×space maps of the logits' type."""
    if is_maps(x, target):
        return target.to(x.dtype)
    return one_hot(target, x.shape[1], x.dtype)


def activate(x, activation):
    return torch.softmax(x, 1) if activation == "softmax" else torch.sigmoid(x)


def spatial(x):
    return list(range(2, x.dim()))


def broadcast(v, x):
    """N×C or N×1 numbers against N×C×space."""
    return v.reshape(list(v.shape) + [1] * (x.dim() - 2))


def total(v, weight, axes):
    return torch.sum(v if weight is None else v * weight, axes)


def reduce_elements(v, weight, reduction):
    """The elements of a pointwise loss, N×C×space or N×space."""
    if weight is not None:
        v = v * weight.reshape([len(v)] + [1] * (v.dim() - weight.dim() + 1) + list(weight.shape[2:]))
    return torch.mean(v) if reduction == "mean" else v


def reduce_groups(v, x, reduction):
    return torch.mean(v) if reduction == "mean" else broadcast(v, x)


def dice(x, target, weight=None, reduction="mean", activation="sigmoid", squared=True, jaccard=False, smooth=1e-5):
    t = target_maps(x, target)
    p = activate(x, activation)
    axes = spatial(x)
    intersection = total(t * p, weight, axes)
    if squared:
        sum_t, sum_p = total(t**2, weight, axes), total(p**2, weight, axes)
    else:
        sum_t, sum_p = total(t, weight, axes), total(p, weight, axes)
    denominator = sum_t + sum_p
    if jaccard:
        denominator = 2 * (denominator - intersection)
    return reduce_groups(1 - (2 * intersection + smooth) / (denominator + smooth), x, reduction)


def generalized_dice(x, target, weight=None, reduction="mean", smooth=1e-5):
    t = target_maps(x, target)
    p = torch.sigmoid(x)
    axes = spatial(x)
    intersection = total(t * p, weight, axes)
    sum_t, sum_p = total(t, weight, axes), total(p, weight, axes)
    w = 1 / (sum_t * sum_t)
    infinite = torch.isinf(w)
    largest = torch.where(infinite, torch.zeros_like(w), w).max(1, keepdim=True).values
    w = torch.where(infinite, largest, w)
    numerator = 2 * torch.sum(w * intersection, 1, keepdim=True) + smooth
    denominator = torch.sum(w * (sum_t + sum_p), 1, keepdim=True) + smooth
    return reduce_groups(1 - numerator / denominator, x, reduction)


def tversky(x, target, weight=None, reduction="mean", alpha=0.5, beta=0.5, gamma=1.0, smooth=1e-5):
    t = target_maps(x, target)
    p = torch.sigmoid(x)
    axes = spatial(x)
    tp = total(p * t, weight, axes)
    fp = alpha * total(p * (1 - t), weight, axes)
    fn = beta * total((1 - p) * t, weight, axes)
    score = 1 - (tp + smooth) / (tp + fp + fn + smooth)
    score = score if gamma == 1 else score**gamma
    return torch.mean(score) if reduction == "mean" else score


def cross_entropy(x, target, weight=None, reduction="mean", smoothing=0.0):
    if is_maps(x, target):
        t = target.to(x.dtype)
    else:
        t = target.squeeze(1).long()
    if weight is None:
        return F.cross_entropy(x, t, reduction=reduction, label_smoothing=smoothing)
    return reduce_elements(F.cross_entropy(x, t, reduction="none", label_smoothing=smoothing), weight, reduction)


def binary_cross_entropy(x, target, weight=None, reduction="mean"):
    return F.binary_cross_entropy_with_logits(x, target_maps(x, target), weight=weight, reduction=reduction)


def focal_elements(x, t, gamma):
    """The sigmoid focal elements; gamma is a number or a tensor that broadcasts."""
    element = x - x * t - F.logsigmoid(x)
    miss = F.logsigmoid(-x * (t * 2 - 1))
    return (miss * gamma).exp() * element


def focal(x, target, weight=None, reduction="mean", gamma=2.0):
    return reduce_elements(focal_elements(x, target_maps(x, target), gamma), weight, reduction)


def foreground(x, target):
    """The N×1×space map of class indices above 0, or the largest of the maps above 0."""
    if is_maps(x, target):
        return target[:, min(x.shape[1] - 1, 1) :].amax(1, keepdim=True).to(x.dtype)
    return (target > 0).to(x.dtype)


def shares(mask):
    """γ_va and γ_mSa of each sample of an N×1×space map."""
    share = mask.mean(dim=spatial(mask))
    squares = 0
    for axis in spatial(mask):
        squares = squares + torch.gradient(mask, dim=axis)[0] ** 2
    return share, torch.sqrt(squares).mean(dim=spatial(mask))


def afl(x, target, weight=None, reduction="mean"):
    """The released form: weights per channel, one γ for the batch."""
    with torch.no_grad():
        mask = foreground(x, target)
        share = mask.mean()
        gamma = share + shares(mask[:1])[1][0, 0]
        channel = torch.stack([1 - share, share])[None]
    elements = focal_elements(x, target_maps(x, target), gamma) * broadcast(channel, x)
    return reduce_elements(elements, weight, reduction)


def afl_paper(x, target, weight=None, reduction="mean", balanced=False):
    with torch.no_grad():
        mask = foreground(x, target)
        share, smoothness = shares(mask)
        gamma, factor = share + smoothness, broadcast(1 - share, x)
        if balanced and is_maps(x, target):
            factor = factor * mask + (1 - factor) * (1 - mask)
        elif balanced:
            factor = torch.where(target > 0, factor, 1 - factor)
    elements = focal_elements(x, target_maps(x, target), broadcast(gamma, x)) * factor
    return reduce_elements(elements, weight, reduction)


def afl_multiclass(x, target, weight=None, reduction="mean"):
    """A softmax focal loss with γ and α per class, of two channels or more."""
    with torch.no_grad():
        share, smoothness = shares(foreground(x, target))
        gammas, alphas = [share + smoothness], [share]
        for c in range(1, x.shape[1]):
            mask = target[:, c : c + 1] if is_maps(x, target) else target == c
            share, smoothness = shares(mask.to(x.dtype))
            gammas.append(share + smoothness)
            alphas.append(1 - share)
        gamma = broadcast(torch.cat(gammas, 1), x)
        alpha = broadcast(torch.cat(alphas, 1), x)
    t = target_maps(x, target)
    log_p = torch.log_softmax(x, 1)
    return reduce_elements(-alpha * t * (1 - log_p.exp()).pow(gamma) * log_p, weight, reduction)


def plain_dice(x, target, **options):
    return dice(x, target, squared=False, **options)


LOSSES = {
    "tversky": tversky,
    "ce": cross_entropy,
    "iou": lambda x, y, **o: dice(x, y, jaccard=True, **o),
    "dice": dice,
    "dice-ce": lambda x, y, **o: dice(x, y, activation="softmax", squared=False, **o) + cross_entropy(x, y, **o),
    "dice-focal": lambda x, y, **o: plain_dice(x, y, **o) + focal(x, y, **o),
    "fl": focal,
    "afl": afl,
    "dice-afl": lambda x, y, **o: plain_dice(x, y, **o) + afl(x, y, **o),
    "afl-paper": afl_paper,
    "afl-balanced": lambda x, y, **o: afl_paper(x, y, balanced=True, **o),
    "afl-multiclass": afl_multiclass,
    "bce": binary_cross_entropy,
    "generalized-dice": generalized_dice,
    "focal-tversky": lambda x, y, **o: tversky(x, y, alpha=0.3, beta=0.7, gamma=4 / 3, **o),
}
