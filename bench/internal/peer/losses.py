"""The losses in PyTorch, for comparison.

Each is composed of PyTorch operations as in MONAI: a one-hot copy of the label, an
activation, products and sums, with the gradient by autograd.
Logits are N×C×space float32, labels N×1×space class indices of any integer type,
both on one device.
"""

import torch
import torch.nn.functional as F


def one_hot(label, channels):
    """N×1×space class indices as N×C×space float maps."""
    shape = list(label.shape)
    shape[1] = channels
    maps = torch.zeros(shape, dtype=torch.float32, device=label.device)
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
    """The released form: weights per channel, one γ for the batch."""
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
    """A softmax focal loss with γ and α per class."""
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
    "dice-afl": lambda x, y: dice(x, y, squared=False) + afl(x, y),
    "afl-paper": afl_paper,
    "afl-balanced": lambda x, y: afl_paper(x, y, balanced=True),
    "afl-multiclass": afl_multiclass,
    "bce": binary_cross_entropy,
    "generalized-dice": generalized_dice,
    "focal-tversky": lambda x, y: tversky(x, y, 0.3, 0.7, 4 / 3),
}
