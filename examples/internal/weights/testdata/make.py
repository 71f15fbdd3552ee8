"""Writes the PyTorch files for the tests: python3 make.py, run in this folder.

The committed files were written by PyTorch 1.13. torch_test.go checks their values.
"""
import collections
import os

import torch
from torch import nn


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
