"""Writes batch.json: python3 batch.py, run in this folder.

It contains the parameters of a small network after updates on whole batches in PyTorch, in
float64: the volumes of a batch pass the network together, and the loss is that of the batch.
The network has a group norm or a batch norm, of which it contains the running statistics too.
The committed file was written by PyTorch 1.13. batch_test.go compares with it.
"""
import json
import math

import torch
from torch import nn
from torch.nn import functional as F

SIZE = (3, 4, 5)
SAMPLES = 5
BATCH = 3
EPOCHS = 2


def values(n, k):
    """Returns n numbers in [-1, 1] that are exact in float32."""
    return torch.tensor([math.sin(1.7 * i + 0.013 * i * i + k) for i in range(n)], dtype=torch.float32).double()


def network(norm):
    net = nn.Sequential()
    net.add_module("a", nn.Conv3d(1, 3, 3, padding=1))
    net.add_module("n", nn.GroupNorm(1, 3) if norm == "group" else nn.BatchNorm3d(3))
    net.add_module("p", nn.PReLU(3))
    net.add_module("b", nn.Conv3d(3, 2, 1))
    net.double()
    with torch.no_grad():
        for k, p in enumerate(net.parameters()):
            p.copy_(0.5 * values(p.numel(), k).reshape(p.shape) + (1 if p.dim() == 1 else 0))
    return net


def dice_ce(logits, label):
    """MONAI's DiceCELoss: softmax, the mean over samples and classes of Dice, plus cross-entropy."""
    p = torch.softmax(logits, 1)
    t = F.one_hot(label, 2).permute(0, 4, 1, 2, 3).double()
    over = (2, 3, 4)
    dice = 1 - (2 * (p * t).sum(over) + 1e-5) / (p.sum(over) + t.sum(over) + 1e-5)
    return dice.mean() + F.cross_entropy(logits, label)


def flat(tensors):
    return [float(f"{v:.12g}") for p in tensors for v in p.detach().flatten()]


def main():
    n = math.prod(SIZE)
    images = [values(n, 100 + i) for i in range(SAMPLES)]
    labels = [(values(n, 200 + i) > 0.2 * i).long() for i in range(SAMPLES)]
    net = network("group")
    out = {
        "Size": SIZE, "Batch": BATCH, "Epochs": EPOCHS,
        "Images": [x.tolist() for x in images], "Labels": [x.tolist() for x in labels],
        "Initial": {name: {"Shape": list(p.shape), "Values": p.detach().flatten().tolist()} for name, p in net.named_parameters()},
        "Runs": [],
    }
    for name, norm in [("sgd", "group"), ("adamw", "group"), ("sgd", "batch")]:
        net = network(norm)
        if name == "sgd":
            opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3, nesterov=True)
        else:
            opt = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
        losses, norms, parameters, running = [], [], [], []
        for _ in range(EPOCHS):
            for at in range(0, SAMPLES, BATCH):
                x = torch.stack(images[at:at + BATCH]).reshape(-1, 1, *SIZE)
                y = torch.stack(labels[at:at + BATCH]).reshape(-1, *SIZE)
                opt.zero_grad()
                loss = dice_ce(net(x), y)
                loss.backward()
                norms.append(float(nn.utils.clip_grad_norm_(net.parameters(), 0.5)))
                opt.step()
                losses.append(loss.item())
                parameters.append(flat(net.parameters()))
                running.append(flat(b for b in net.buffers() if b.dim() > 0))
        out["Runs"].append({"Optimizer": name, "Norm": norm, "Losses": losses, "Norms": norms, "Parameters": parameters, "Running": running})
    with open("batch.json", "w") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main()
