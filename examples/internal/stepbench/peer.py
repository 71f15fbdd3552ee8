"""Training steps of the same networks in plain PyTorch, for comparison.

Requests are read from standard input, one JSON object per line, and each is answered
with one line of JSON on standard output:

  {"do": "describe"} -> {"python": …, "torch": …, "compile": BOOL, "cuda": BOOL}
  {"do": "network", "name": NAME, "shape": [N, C, X, Y, Z], "threads": T, "mode": MODE,
   "limit": S, "device": DEVICE, "precision": PRECISION, "strides": [[X, Y, Z], …]}
      -> {"parameters": …} or {"failed": TEXT}; creates the network on that device and makes
         one step, or as many as compilation takes. PRECISION is "float32", "tf32" (in
         convolutions and matrix products) or "bfloat16" (autocast). On a GPU cuDNN chooses
         its algorithms by measurement. Running out of its memory is a failure. The strides
         are those of unet, attunet and unet_resnet50, null for the other networks.
         MODE is "eager", "channels_last_3d" (network and input in that memory format),
         "compile" (network and loss through torch.compile) or "compile_channels_last_3d".
         Compilation fails where it raises an exception or takes more than S seconds
  {"do": "step", "mode": MODE, "steps": N, "seconds": S}
      -> {"seconds": […], "memory": BYTES}; trains the network of that mode for at least N
         steps and at least S seconds in total. The memory is the most that tensors had on a
         GPU since the network was created, 0 on the CPU
  {"do": "release", "mode": MODE} -> {}; frees the network of that mode

The response to a request that fails is {"error": TEXT}.
"""

import signal
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


def conv(a, b, k=3, s=1, bias=True):
    return nn.Conv3d(a, b, k, s, 0 if k == 2 else k // 2, bias=bias)


def up3(a, b, s=(2, 2, 2), bias=True):
    return nn.ConvTranspose3d(a, b, 3, s, 1, tuple(n - 1 for n in s), bias=bias)


def norm_act(c, act):
    return [nn.BatchNorm3d(c), act()]


def relu():
    return nn.ReLU(inplace=True)


WIDTHS = [16, 32, 64, 128, 256]


class Residual(nn.Module):
    def __init__(self, main, side=None):
        super().__init__()
        self.main, self.side = nn.Sequential(*main), side

    def forward(self, x):
        return self.main(x) + (x if self.side is None else self.side(x))


def residual_unit(a, b, s, units, last_plain=False):
    main = []
    for i in range(units):
        main.append(conv(a if i == 0 else b, b, s=s if i == 0 else 1))
        if not (last_plain and i == units - 1):
            main += norm_act(b, nn.PReLU)
    side = None
    if s != (1, 1, 1):
        side = conv(a, b, s=s)
    elif a != b:
        side = conv(a, b, 1)
    return Residual(main, side)


class UNetLevel(nn.Module):
    def __init__(self, down, below, up):
        super().__init__()
        self.down, self.below, self.up = down, below, up

    def forward(self, x):
        x = self.down(x)
        return self.up(torch.cat([x, self.below(x)], 1))


def unet(cin, cout, strides):
    def level(i, a, b):
        if i == 4:
            return residual_unit(a, WIDTHS[4], (1, 1, 1), 2)
        c, s = WIDTHS[i], strides[i]
        below = level(i + 1, c, c)
        wide = c + (WIDTHS[4] if i == 3 else c)
        up = nn.Sequential(up3(wide, b, s), *norm_act(b, nn.PReLU), residual_unit(b, b, (1, 1, 1), 1, i == 0))
        return UNetLevel(residual_unit(a, c, s, 2), below, up)

    return level(0, cin, cout)


class AttLevel(nn.Module):
    def __init__(self, i, strides):
        super().__init__()
        c, d, s = WIDTHS[i], WIDTHS[i + 1], strides[i]
        self.down = att_block(c, d, s)
        self.below = AttLevel(i + 1, strides) if i < 3 else None
        self.up = nn.Sequential(up3(d, c, s), *norm_act(c, relu))
        self.wg = nn.Sequential(conv(c, c // 2, 1), nn.BatchNorm3d(c // 2))
        self.wx = nn.Sequential(conv(c, c // 2, 1), nn.BatchNorm3d(c // 2))
        self.psi = nn.Sequential(conv(c // 2, 1, 1), nn.BatchNorm3d(1), nn.Sigmoid())
        self.merge = nn.Sequential(conv(2 * c, c), nn.InstanceNorm3d(c), nn.PReLU())

    def forward(self, x):
        low = self.down(x)
        if self.below is not None:
            low = self.below(low)
        g = self.up(low)
        a = self.psi(F.relu(self.wg(g) + self.wx(x), inplace=True))
        return self.merge(torch.cat([x * a, g], 1))


def att_block(a, b, s=1):
    return nn.Sequential(conv(a, b, s=s), *norm_act(b, relu), conv(b, b), *norm_act(b, relu))


def attunet(cin, cout, strides):
    return nn.Sequential(att_block(cin, 16), AttLevel(0, strides), conv(16, cout, 1))


class RegBlock(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.first = nn.Sequential(conv(a, b, bias=False), *norm_act(b, relu))
        self.second = nn.Sequential(conv(b, b, bias=False), *norm_act(b, relu))
        self.third = nn.Sequential(conv(b, b, bias=False), nn.BatchNorm3d(b))

    def forward(self, x):
        y = self.first(x)
        return F.relu(self.third(self.second(y)) + y, inplace=True)


class RegUNet(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        w = [16, 32, 64, 128]
        self.down = nn.ModuleList(RegBlock(cin if d == 0 else w[d - 1], w[d]) for d in range(4))
        self.up = nn.ModuleList(nn.Sequential(up3(w[d + 1], w[d], bias=False), *norm_act(w[d], relu)) for d in range(3))
        self.join = nn.ModuleList(RegBlock(w[d], w[d]) for d in range(3))
        self.heads = nn.ModuleList(conv(w[d], cout, bias=False) for d in range(4))

    def forward(self, x):
        size, maps = x.shape[2:], []
        for d, block in enumerate(self.down):
            x = block(x if d == 0 else F.max_pool3d(x, 2))
            maps.append(x)
        for d in (2, 1, 0):
            maps[d] = x = self.join[d](self.up[d](x) + maps[d])
        heads = [F.interpolate(h(m), size=size) for h, m in zip(self.heads, maps)]
        return torch.mean(torch.stack(heads), 0)


class Recurrent(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv, self.norm = conv(c, c), nn.BatchNorm3d(c)

    def forward(self, x):
        f = lambda v: F.relu(self.norm(self.conv(v)), inplace=True)
        h = f(x)
        for _ in range(2):
            h = f(x + h)
        return h


def recurrent_unit(a, b):
    return nn.Sequential(conv(a, b, 1), Residual([Recurrent(b), Recurrent(b)]))


class R2UNet(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        w = [64, 128, 256, 512, 1024]
        self.enc = nn.ModuleList(recurrent_unit(cin if i == 0 else w[i - 1], w[i]) for i in range(5))
        self.up = nn.ModuleList(nn.Sequential(conv(w[i + 1], w[i]), *norm_act(w[i], relu)) for i in range(4))
        self.dec = nn.ModuleList(recurrent_unit(2 * w[i], w[i]) for i in range(4))
        self.head = conv(w[0], cout, 1)

    def forward(self, x):
        skips = []
        for i, unit in enumerate(self.enc):
            x = unit(x if i == 0 else F.max_pool3d(x, 2))
            skips.append(x)
        for i in (3, 2, 1, 0):
            u = self.up[i](F.interpolate(x, scale_factor=2, mode="trilinear", align_corners=True))
            x = self.dec[i](torch.cat([skips[i], u], 1))
        return self.head(x)


class Bottleneck(nn.Module):
    def __init__(self, a, w, s, project):
        super().__init__()
        self.main = nn.Sequential(
            conv(a, w, 1, bias=False), *norm_act(w, relu), conv(w, w, 3, s, bias=False), *norm_act(w, relu),
            conv(w, 4 * w, 1, bias=False), nn.BatchNorm3d(4 * w))
        self.side = nn.Sequential(conv(a, 4 * w, 1, s, bias=False), nn.BatchNorm3d(4 * w)) if project else None

    def forward(self, x):
        return F.relu(self.main(x) + (x if self.side is None else self.side(x)), inplace=True)


class ResNetUNet(nn.Module):
    def __init__(self, cin, cout, strides):
        super().__init__()
        self.strides = strides
        self.stem = nn.Sequential(conv(cin, 64, 7, self.strides[0], bias=False), *norm_act(64, relu))
        self.pool = nn.MaxPool3d(3, self.strides[1], 1)
        layers, a = [], 64
        for i, (w, n) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)]):
            blocks = []
            for k in range(n):
                blocks.append(Bottleneck(a, w, self.strides[i + 1] if k == 0 and i > 0 else (1, 1, 1), k == 0))
                a = 4 * w
            layers.append(nn.Sequential(*blocks))
        self.layers = nn.ModuleList(layers)
        self.dec = nn.ModuleList(
            nn.Sequential(conv(a, b, bias=False), *norm_act(b, relu), conv(b, b, bias=False), *norm_act(b, relu))
            for a, b in [(3072, 256), (768, 128), (384, 64), (128, 32), (32, 16)])
        self.head = conv(16, cout)

    def forward(self, x):
        f = [self.stem(x)]
        x = self.pool(f[0])
        for layer in self.layers:
            x = layer(x)
            f.append(x)
        f.pop()
        for i, block in enumerate(self.dec):
            x = F.interpolate(x, scale_factor=tuple(float(s) for s in self.strides[4 - i]), mode="nearest")
            x = block(torch.cat([x, f.pop()], 1) if f else x)
        return self.head(x)


def group_block(c):
    half = lambda: [nn.GroupNorm(8, c), relu(), conv(c, c, bias=False)]
    return Residual(half() + half())


class SegResNet(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        w = [8, 16, 32, 64]
        self.first = conv(cin, 8, bias=False)
        self.down = nn.ModuleList(
            nn.Sequential(*([conv(w[i - 1], w[i], 3, 2, bias=False)] if i else []), *[group_block(w[i]) for _ in range(n)])
            for i, n in enumerate([1, 2, 2, 4]))
        self.shrink = nn.ModuleList(conv(w[i + 1], w[i], 1, bias=False) for i in range(3))
        self.up = nn.ModuleList(group_block(w[i]) for i in range(3))
        self.last = nn.Sequential(nn.GroupNorm(8, 8), relu(), conv(8, cout, 1))

    def forward(self, x):
        x, skips = self.first(x), []
        for block in self.down:
            x = block(x)
            skips.append(x)
        for i in (2, 1, 0):
            x = F.interpolate(self.shrink[i](x), scale_factor=2, mode="trilinear", align_corners=False)
            x = self.up[i](x + skips[i])
        return self.last(x)


def elu():
    return nn.ELU(inplace=True)


def vops(c, n, bias):
    ops = []
    for _ in range(n):
        ops += [conv(c, c, 5, bias=bias), *norm_act(c, elu)]
    return nn.Sequential(*ops)


class VNet(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        w = [16, 32, 64, 128, 256]
        self.first = nn.Sequential(conv(cin, 16, 5, bias=False), nn.BatchNorm3d(16))
        self.down = nn.ModuleList(
            nn.Sequential(conv(w[i], w[i + 1], 2, 2, bias=False), *norm_act(w[i + 1], elu)) for i in range(4))
        self.down_ops = nn.ModuleList(vops(w[i + 1], n, False) for i, n in enumerate([1, 2, 3, 2]))
        wide = [32, 64, 128, 256]
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose3d(a, w[i], 2, 2), *norm_act(w[i], elu)) for i, a in enumerate([64, 128, 256, 256]))
        self.up_ops = nn.ModuleList(vops(wide[i], n, True) for i, n in enumerate([1, 1, 2, 2]))
        self.last = nn.Sequential(conv(32, cout, 5, bias=False), nn.BatchNorm3d(cout), conv(cout, cout, 1))

    def forward(self, x):
        c = x.shape[1]
        x = F.elu(self.first(x) + x[:, [i % c for i in range(16)]], inplace=True)
        skips = [x]
        for i in range(4):
            d = self.down[i](x)
            if i >= 2:
                d = F.dropout3d(d, 0.5, self.training)
            x = F.elu(self.down_ops[i](d) + d, inplace=True)
            skips.append(x)
        for i in (3, 2, 1, 0):
            j = torch.cat([self.up[i](x), F.dropout3d(skips[i], 0.5, self.training)], 1)
            x = self.up_ops[i](j) + j
        return self.last(x)


class MRRN(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        unit = lambda a, b: nn.Sequential(conv(a, b), *norm_act(b, relu))
        self.first = unit(cin, 32)
        self.ru = nn.Sequential(*[Residual([unit(32, 32)]) for _ in range(3)])
        self.frru = nn.Sequential(unit(64, 64), unit(64, 64), conv(64, 32, 1))
        self.last = conv(32, cout, 1)

    def forward(self, x):
        r = self.ru(self.first(x))
        p = F.max_pool3d(r, 2)
        q = torch.cat([F.dropout3d(F.max_pool3d(r, 2), 0.5, self.training), p], 1)
        q = F.interpolate(self.frru(q), scale_factor=2, mode="trilinear", align_corners=False)
        return self.last(q + r)


NETWORKS = {
    "unet": unet, "attunet": attunet, "regunet": RegUNet, "r2unet": R2UNet, "unet_resnet50": ResNetUNet,
    "segresnet": SegResNet, "vnet_authors": VNet, "mrrn": MRRN,
}


def adaptive_focal(x, label):
    """The adaptive focal loss as released; label is N×1×X×Y×Z of 0 and 1."""
    with torch.no_grad():
        mask = label.float()
        share = mask.mean()
        slopes = torch.gradient(mask[0, 0])
        gamma = share + torch.sqrt(sum(s**2 for s in slopes)).mean()
        weight = torch.stack([1 - share, share]).reshape(1, 2, 1, 1, 1)
        t = torch.cat([1 - mask, mask], 1)
    element = x - x * t - F.logsigmoid(x)
    miss = F.logsigmoid(-x * (t * 2 - 1))
    return torch.mean((miss * gamma).exp() * element * weight)


class Trained:
    """A network with its data and optimizer."""

    def __init__(self, name, shape, mode, device, precision, strides):
        torch.manual_seed(1)
        self.device = torch.device(device)
        options = [[tuple(s) for s in strides]] if strides else []
        self.net = NETWORKS[name](shape[1], 2, *options).to(self.device)
        self.net.train()
        self.x = torch.randn(shape).to(self.device)
        if mode.endswith("channels_last_3d"):
            self.net = self.net.to(memory_format=torch.channels_last_3d)
            self.x = self.x.contiguous(memory_format=torch.channels_last_3d)
        self.label = torch.zeros([shape[0], 1] + shape[2:])
        box = tuple(slice(n // 3, n // 2) for n in shape[2:])
        self.label[(slice(None), 0) + box] = 1
        self.label = self.label.to(self.device)
        self.sgd = torch.optim.SGD(self.net.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-5, nesterov=True)
        if precision == "bfloat16":
            def loss(x, label):
                with torch.autocast(self.device.type, dtype=torch.bfloat16):
                    y = self.net(x)
                return adaptive_focal(y.float(), label)
            self.loss = loss
        else:
            self.loss = lambda x, label: adaptive_focal(self.net(x), label)
        if mode.startswith("compile"):
            self.loss = torch.compile(self.loss)

    def step(self):
        self.sgd.zero_grad(set_to_none=True)
        loss = self.loss(self.x, self.label)
        loss.backward()
        self.sgd.step()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def expired(signal_number, frame):
    raise TimeoutError("the time limit of compilation has passed")


class Peer:
    def __init__(self):
        self.trained = {}

    def describe(self):
        return describe()

    def network(self, name, shape, threads, mode, limit, device, precision, strides):
        torch.set_num_threads(threads)
        choose(precision)
        self.release(mode)
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats(device)
        try:
            return self.create(name, shape, mode, limit, device, precision, strides)
        except RuntimeError as e:
            failed = out_of_memory(e, device)
        self.release(mode)  # outside of the except clause, which holds the failed network
        return {"failed": failed}

    def create(self, name, shape, mode, limit, device, precision, strides):
        trained = Trained(name, shape, mode, device, precision, strides)
        if mode.startswith("compile"):
            signal.signal(signal.SIGALRM, expired)
            signal.setitimer(signal.ITIMER_REAL, limit)
            try:
                for _ in range(3):  # the second step compiles again, with guards that hold from then on
                    trained.step()
            except Exception as e:
                return {"failed": f"{type(e).__name__}: {e}".strip().splitlines()[0]}
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        else:
            trained.step()
        self.trained[mode] = trained
        return {"parameters": sum(p.numel() for p in trained.net.parameters())}

    def step(self, mode, steps, seconds):
        trained, times = self.trained[mode], []
        while len(times) < steps or sum(times) < seconds:
            start = time.perf_counter()
            trained.step()
            times.append(time.perf_counter() - start)
        memory = torch.cuda.max_memory_allocated(trained.device) if trained.device.type == "cuda" else 0
        return {"seconds": times, "memory": memory}

    def release(self, mode):
        self.trained.pop(mode, None)
        if mode.startswith("compile"):
            torch.compiler.reset()
        free()
        return {}
