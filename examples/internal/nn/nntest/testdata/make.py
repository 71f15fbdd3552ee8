"""Writes schedules.json and optimizers.json: python3 make.py, run in this folder.

schedules.json contains the learning rates of PyTorch's schedulers; optimizers.json contains the
parameters of a small network after several steps of PyTorch's optimizers, in float64. The
committed files were written by PyTorch 1.13. schedule_test.go and runs.go compare with them.
"""
import json
import math
import warnings

import torch
from torch import nn
from torch.optim import SGD, AdamW, lr_scheduler

warnings.filterwarnings("ignore")


def scheduler(opt, s, total):
    """Returns PyTorch's scheduler for the settings of an nn.Schedule."""
    base = opt.param_groups[0]["lr"]
    after = total - s.get("warm_up", 0)
    decay = {
        "constant": lambda: lr_scheduler.ConstantLR(opt, factor=1, total_iters=after),
        "polynomial": lambda: lr_scheduler.PolynomialLR(opt, total_iters=after, power=s.get("power", 0.9)),
        "cosine": lambda: lr_scheduler.CosineAnnealingLR(opt, T_max=after, eta_min=base * s.get("minimum", 0)),
    }[s["decay"]]
    if not s.get("warm_up"):
        return decay()
    warm = lr_scheduler.LinearLR(opt, start_factor=s.get("warm_up_start", 1 / 3), total_iters=s["warm_up"])
    return lr_scheduler.SequentialLR(opt, [warm, decay()], milestones=[s["warm_up"]])


def schedules():
    cases = []
    for decay in [{"decay": "constant"}, {"decay": "polynomial"}, {"decay": "polynomial", "power": 2.5},
                  {"decay": "cosine"}, {"decay": "cosine", "minimum": 0.01}]:
        for warm in [{}, {"warm_up": 1}, {"warm_up": 5}, {"warm_up": 7, "warm_up_start": 0.001}]:
            for total in [10, 23]:
                s = {**decay, **warm}
                opt = SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
                plan = scheduler(opt, s, total)
                rates = []
                for _ in range(total):
                    rates.append(opt.param_groups[0]["lr"])
                    opt.step()
                    plan.step()
                cases.append({"schedule": s, "total": total, "base": 0.1, "rates": rates})
    return cases


def values(n, k):
    """Returns n numbers in about [-1, 1] that are exact in float32."""
    v = [math.sin(1.7 * i + 0.31 * i * i % 3 + k) for i in range(n)]
    return torch.tensor(v, dtype=torch.float32).double()


def network():
    """Returns a network with strides, a norm, slopes and a transposed convolution, and its state."""
    net = nn.Sequential()
    net.add_module("a", nn.Conv3d(1, 3, 3, stride=2, padding=1))
    net.add_module("n", nn.GroupNorm(1, 3))
    net.add_module("p", nn.PReLU(3))
    net.add_module("u", nn.ConvTranspose3d(3, 2, 2, stride=2))
    net = net.double()
    with torch.no_grad():
        for k, (name, p) in enumerate(net.named_parameters()):
            v = values(p.numel(), k).reshape(p.shape) * 0.5
            p.copy_(v + 1 if name == "n.weight" else v)
    return net


STEPS = [1, 2, 10]

RUNS = [
    {"name": "sgd", "optimizer": "sgd", "rate": 0.1, "momentum": 0, "decay": 0.01},
    {"name": "sgd_momentum", "optimizer": "sgd", "rate": 0.1, "momentum": 0.9, "decay": 0.01},
    {"name": "sgd_nesterov", "optimizer": "sgd", "rate": 0.1, "momentum": 0.9, "nesterov": True, "decay": 0.01},
    {"name": "adamw", "optimizer": "adamw", "rate": 0.05},
    {"name": "adamw_all", "optimizer": "adamw", "rate": 0.05, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6, "decay": 0.1,
     "clip": 0.05, "schedule": {"decay": "cosine", "warm_up": 3, "warm_up_start": 0.1}},
    {"name": "sgd_all", "optimizer": "sgd", "rate": 0.2, "momentum": 0.9, "nesterov": True, "decay": 1e-4,
     "clip": 0.05, "schedule": {"decay": "polynomial"}},
]


def train(run):
    net = network()
    x, target = values(4 * 6 * 8, 20).reshape(1, 1, 4, 6, 8), values(2 * 4 * 6 * 8, 30).reshape(1, 2, 4, 6, 8)
    if run["optimizer"] == "sgd":
        opt = SGD(net.parameters(), lr=run["rate"], momentum=run["momentum"], nesterov=run.get("nesterov", False), weight_decay=run["decay"])
    else:
        defaults = AdamW(net.parameters()).defaults
        betas = (run.get("beta1", defaults["betas"][0]), run.get("beta2", defaults["betas"][1]))
        opt = AdamW(net.parameters(), lr=run["rate"], betas=betas, eps=run.get("epsilon", defaults["eps"]),
                    weight_decay=run.get("decay", defaults["weight_decay"]))
    plan = scheduler(opt, run["schedule"], STEPS[-1]) if "schedule" in run else None
    result = {**run, "norms": [], "parameters": []}
    for step in range(1, STEPS[-1] + 1):
        opt.zero_grad()
        loss = ((net(x) - target) ** 2).mean()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), run.get("clip", math.inf))
        result["norms"].append(norm.item())
        opt.step()
        if plan:
            plan.step()
        if step in STEPS:
            result["parameters"].append([float("%.12g" % v) for p in net.parameters() for v in p.detach().flatten().tolist()])
    return result


def write(path, content):
    with open(path, "w") as f:
        json.dump(content, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    write("schedules.json", schedules())
    net = network()
    write("optimizers.json", {
        "steps": STEPS,
        "initial": {name: {"shape": list(p.shape), "values": p.flatten().tolist()} for name, p in net.named_parameters()},
        "input": values(4 * 6 * 8, 20).tolist(),
        "target": values(2 * 4 * 6 * 8, 30).tolist(),
        "runs": [train(run) for run in RUNS],
    })
