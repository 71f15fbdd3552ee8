"""Writes the PyTorch files for the tests: python3 make.py [folder].

The committed files were written by PyTorch 1.13. torch_test.go, network_test.go and
kinds_test.go check their values; the latter also writes them anew.
"""
import argparse
import collections
import dataclasses
import datetime
import enum
import functools
import os
import pathlib
import pickle
import sys

import numpy as np
import torch
from torch import nn

if len(sys.argv) > 1:
    os.chdir(sys.argv[1])


def ramp(*shape, dtype=torch.float32):
    """Returns the numbers -3, -2, -1, …, divided by 4 if dtype is a floating-point type."""
    n = 1
    for d in shape:
        n *= d
    x = torch.arange(n, dtype=torch.float64) - 3
    if dtype.is_floating_point:
        x = x / 4
    return x.reshape(shape).to(dtype)


def types():
    """Returns tensors of every element type, and views of all kinds."""
    base = ramp(4, 6)
    tied = nn.Parameter(ramp(3))
    d = collections.OrderedDict()
    for name in ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8"]:
        d[name] = ramp(2, 3, dtype=getattr(torch, name))
    d["uint8"] = torch.tensor([0, 1, 255], dtype=torch.uint8)
    d["bool"] = torch.tensor([True, False])
    d["special"] = torch.tensor([float("nan"), float("inf"), -0.0, 2.0**-24, 65504.0], dtype=torch.float16)
    d["scalar"] = torch.tensor(2.5)
    d["counter"] = torch.tensor(7)
    d["base"] = base
    d["transposed"] = base.t()
    d["slice"] = base[1:3, 2:5]
    d["strided"] = base[::2, 1::2]
    d["permuted"] = ramp(2, 3, 2, 1, 2).permute(4, 0, 1, 2, 3)
    d["tied.a"] = tied
    d["tied.b"] = tied
    return d


class Unit(nn.Module):
    """A convolution with norm and PReLU, with the parameter names of MONAI."""

    def __init__(self, conv, channels, last=False):
        super().__init__()
        self.conv = conv
        if not last:
            self.adn = nn.Sequential(collections.OrderedDict(N=nn.BatchNorm3d(channels), A=nn.PReLU()))

    def forward(self, x):
        x = self.conv(x)
        return self.adn(x) if hasattr(self, "adn") else x


class Residual(nn.Module):
    def __init__(self, cin, cout, stride, units, last=False):
        super().__init__()
        self.conv = nn.Sequential()
        for k in range(units):
            c = nn.Conv3d(cin if k == 0 else cout, cout, 3, stride if k == 0 else 1, 1)
            self.conv.add_module(f"unit{k}", Unit(c, cout, last and k == units - 1))
        self.residual = nn.Identity()
        if stride != 1:
            self.residual = nn.Conv3d(cin, cout, 3, stride, 1)
        elif cin != cout:
            self.residual = nn.Conv3d(cin, cout, 1)

    def forward(self, x):
        return self.conv(x) + self.residual(x)


class Skip(nn.Module):
    def __init__(self, submodule):
        super().__init__()
        self.submodule = submodule

    def forward(self, x):
        return torch.cat([x, self.submodule(x)], 1)


class UNet(nn.Module):
    """A residual U-Net of two levels: 1 input channel, widths 2 and 3, 2 outputs."""

    def __init__(self):
        super().__init__()
        up = nn.ConvTranspose3d(5, 2, 3, 2, 1, output_padding=1)
        self.model = nn.Sequential(
            Residual(1, 2, 2, 2),
            Skip(Residual(2, 3, 1, 2)),
            nn.Sequential(Unit(up, 2), Residual(2, 2, 1, 1, last=True)),
        )

    def forward(self, x):
        return self.model(x)


class Evil:
    def __reduce__(self):
        return os.system, ("touch hacked",)


torch.manual_seed(0)
torch.save(types(), "types.pth")

net = UNet()
net.train()
for _ in range(3):  # change the running statistics from their initial values
    net(torch.randn(2, 1, 4, 4, 4))
net.eval()
x = ramp(1, 1, 4, 4, 4) / 8
with torch.no_grad():
    y = net(x)
optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
torch.save({
    "epoch": 3, "best": 0.5, "seed": 1 << 70, "note": "µ", "device": torch.device("cpu"), "dtype": torch.float32,
    "shape": x.shape, "state_dict": nn.DataParallel(net).state_dict(), "optimizer": optimizer.state_dict(),
    "logits": y,
}, "checkpoint.pth")
print("logits of the checkpoint:", ", ".join("%.9g" % v for v in y[0, 1, 1].flatten().tolist()))

torch.save({"x": torch.zeros(1), "y": Evil()}, "evil.pth")
torch.save(nn.Linear(1, 1), "module.pth")
torch.save(nn.Linear(1, 1).state_dict(), "legacy.pth", _use_new_zipfile_serialization=False)


class Small(nn.Module):
    """The network of kinds_test.go. Element i of its tensor k is (i - 3) / 4 + k."""

    def __init__(self, offset=0.0):
        super().__init__()
        self.conv = nn.Conv3d(1, 2, 1)
        self.norm = nn.BatchNorm3d(2)
        self.register_buffer("grid", torch.zeros(3), persistent=False)
        with torch.no_grad():
            for k, (name, v) in enumerate(self.state_dict().items()):
                v.copy_(torch.tensor(7) if v.dtype == torch.int64 else ramp(*v.shape) + k + offset)

    def forward(self, x):
        return self.norm(self.conv(x))


class Mode(enum.Enum):
    TRAIN = "train"


@dataclasses.dataclass
class Options:
    width: int = 8
    mode: Mode = Mode.TRAIN


class Wrapper(nn.Module):
    """A module that is pickled by a call, like those of torch.compile."""

    def __init__(self, module):
        super().__init__()
        self._orig_mod = module

    def __reduce__(self):
        return Wrapper, (self._orig_mod,)


class AttributeDict(dict):
    """A dictionary with attributes, like that of the hyperparameters in Lightning."""


class Subclass(torch.Tensor):
    """A tensor with metadata, like those of MONAI."""


def renamed(state, rename):
    return collections.OrderedDict((rename(k), v) for k, v in state.items())


def training(small, state):
    """Returns what a training program can store next to a state_dict."""
    optimizer = torch.optim.AdamW(small.parameters(), 0.1)
    small(torch.ones(2, 1, 1, 2, 2)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    history = collections.defaultdict(list)
    history["dice"].append(np.float32(0.5))
    args = argparse.Namespace(lr=0.1, out=pathlib.Path("runs") / "a", widths=[8, 16], mode=Mode.TRAIN)
    args.self = args
    return {
        "epoch": np.int64(3), "best": np.float64(0.5), "flags": np.array([True, False]), "args": args, "options": Options(),
        "tags": {"a", "b"}, "frozen": frozenset([1]), "hash": b"\x00\xff", "buffer": bytearray(b"\x80"), "z": 1j, "huge": 1 << 3000,
        "start": datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.timezone.utc), "took": datetime.timedelta(seconds=3),
        "history": history, "counts": collections.Counter("aab"), "last": collections.deque([1.0], 3), "empty": (), "none": None,
        "device": torch.device("cpu"), "dtype": torch.float16, "shape": torch.Size([1, 2]), "span": slice(1, None), "range": range(3),
        "partial": functools.partial(nn.Conv3d, kernel_size=3), "class": Small, "function": renamed, "record": np.zeros(1, "f4,i8"),
        "names": np.array(["a", None], object), "state_dict": state, "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict(),
    }


def kinds():
    small, average = Small(), Small(100)
    state = small.state_dict()
    values = collections.OrderedDict((k, v.clone()) for k, v in state.items())
    ema = average.state_dict()
    other = training(Small(), values)

    for protocol in [2, 3, 4, 5]:
        torch.save(other, f"training{protocol}.pth", pickle_protocol=protocol)
    torch.save(other, "training_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({
        "network_weights": values, "optimizer_state": other["optimizer"], "grad_scaler_state": None, "current_epoch": 4, "_best_ema": np.float64(0.5),
        "logging": {"mean_fg_dice": [np.float32(0.5)]}, "trainer_name": "nnUNetTrainer", "inference_allowed_mirroring_axes": (0, 1, 2),
        "init_args": {"plans": {"shape": [8, 8, 8]}, "device": torch.device("cpu")},
    }, "nnunet.pth")
    lightning = renamed(values, lambda k: "model." + k)
    lightning["criterion.weight"] = ramp(2)
    torch.save({
        "epoch": 1, "global_step": 2, "pytorch-lightning_version": "2.0.0", "state_dict": lightning, "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5), "best_model_path": "a.ckpt"}}, "optimizer_states": [other["optimizer"]],
        "hparams_name": "kwargs", "hyper_parameters": AttributeDict(lr=0.1, net="small"),
    }, "lightning.ckpt")
    torch.save({"net": nn.DataParallel(small).state_dict(), "opt": other["optimizer"]}, "ddp.pth")
    torch.save(renamed(values, lambda k: "_orig_mod.module.module." + k), "compiled_ddp.pth")
    torch.save({"model": renamed(values, lambda k: "module._orig_mod.net." + k.replace(".", "._fsdp_wrapped_module."))}, "wrapped_inside.pth")
    torch.save(torch.optim.swa_utils.AveragedModel(small).state_dict(), "swa.pth")
    torch.save({"model": values, "model_ema": ema}, "ema.pth")
    both = renamed(values, lambda k: "online_model." + k)
    both.update(renamed(ema, lambda k: "ema_model." + k))
    torch.save(both, "ema_inside.pth")
    torch.save(collections.OrderedDict((k, v) for k, v in values.items() if v.is_floating_point()), "no_counter.pth")
    torch.save({k: v.double() for k, v in values.items()}, "float_counter.pth")
    torch.save({k: v.bfloat16() if v.is_floating_point() else v for k, v in values.items()}, "bfloat16.pth")
    torch.save({part: {k[5:]: v for k, v in values.items() if k.startswith(part)} for part in ["conv", "norm"]}, "parts.pth")
    aliases = dict(values)
    aliases.update({"all_modules." + k: v for k, v in values.items()})
    torch.save({"state_dict": aliases}, "aliases.pth")
    odd = dict(values)
    odd["sparse"] = torch.eye(2).to_sparse()
    odd["complex"] = torch.zeros(2, dtype=torch.complex64)
    odd["quantized"] = torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8)
    torch.save({"state_dict": odd}, "odd_tensors.pth")
    torch.save({k: v.as_subclass(Subclass) for k, v in values.items()}, "subclass.pth")

    small = Small()  # without the gradients' hooks
    torch.save(small, "whole.pth")
    torch.save(small, "whole4.pth", pickle_protocol=4)
    torch.save({"model": nn.DataParallel(small), "epoch": 1}, "whole_ddp.pth")
    torch.save(small, "whole_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"net": Wrapper(small)}, "whole_by_call.pth")
    torch.jit.script(small).save("script.ts")

    arrays = {k: v.numpy() for k, v in values.items()}
    arrays["conv.weight"] = np.asfortranarray(arrays["conv.weight"])
    arrays["norm.bias"] = arrays["norm.bias"].astype(">f8")
    torch.save(arrays, "arrays.pth")
    for protocol in [2, 3, 4, 5]:
        with open(f"arrays{protocol}.pkl", "wb") as f:
            pickle.dump(arrays, f, protocol)
    with open("tensors.pkl", "wb") as f:
        pickle.dump({"state_dict": values}, f)


kinds()
