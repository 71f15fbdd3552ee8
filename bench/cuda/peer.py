"""The losses in PyTorch on the same GPU, for comparison.

The losses are those of losses.py, evaluated directly ("eager") or through torch.compile
with its defaults ("compile"); "released" is A-FL as in a training step of the authors'
released code, with the label's statistics on the CPU.

The requests for serve.py and their responses:

  {"do": "open", "device": "cuda:0"}
      -> {"python": …, "torch": …, "cuda": …, "triton": …, "numpy": …, "device": …}
  {"do": "batch", "shape": [N, C, X, Y, Z], "logits_type": T, "labels_type": U,
   "sets": K, "logits": FILE, "labels": FILE}
      -> {}; raw little-endian, row-major; T is float32, float16 or bfloat16, U uint8
         or int64. Both are copied K times, and calls rotate through the copies.
  {"do": "prepare", "loss": NAME, "gradient": BOOL, "how": HOW}
      -> {"values": […], "seconds": s}: the loss and, with its gradient, the sums of
         the gradient's positive and negative numbers; the time, with compilation
  {"do": "time", "loss": NAME, "gradient": BOOL, "how": HOW, "seconds": S}
      -> {"seconds": s, "calls": n}: of one call, the mean of n that together took at
         least S between two events of the device

The device "cpu", for tests of this script, is timed by the CPU's clock.
"""

import platform
import time

import numpy as np
import torch

from losses import LOSSES, broadcast, focal_elements, one_hot

TYPES = {
    "float32": ("<f4", torch.float32),
    "float16": ("<i2", torch.float16),
    "bfloat16": ("<i2", torch.bfloat16),
    "uint8": ("u1", torch.uint8),
    "int64": ("<i8", torch.int64),
}


def read(path, name, shape):
    stored, kind = TYPES[name]
    return torch.from_numpy(np.fromfile(path, stored).reshape(shape)).view(kind)


def released(x, label):
    """A-FL as released: copies the label to the CPU, computes the class ratio, the
    smoothness (of sample 0) and the class weights there with NumPy, and evaluates the
    loss on the device of the logits."""
    mask = (label.cpu().numpy() > 0).astype(np.float32)
    foreground = np.count_nonzero(mask)
    background = mask.size - foreground
    gradients = np.gradient(mask[0, 0])
    smoothness = np.mean(np.sqrt(sum(g**2 for g in gradients)))
    gamma = float(smoothness) + foreground / mask.size
    frequencies = np.array([foreground, background]) / mask.size
    weight = (1 / frequencies) / np.sum(1 / frequencies)
    weight = torch.as_tensor(weight, dtype=torch.float32, device=x.device)[None]
    return torch.mean(focal_elements(x, one_hot(label, 2), gamma) * broadcast(weight, x))


class Peer:
    def open(self, device):
        self.device = torch.device(device)
        self.calls = {}
        name = "cpu"
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
            name = torch.cuda.get_device_name(self.device)
        try:
            import triton

            compiler = triton.__version__
        except ImportError:
            compiler = ""
        return {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda or "",
            "triton": compiler,
            "numpy": np.__version__,
            "device": name,
        }

    def batch(self, shape, logits_type, labels_type, sets, logits, labels):
        self.sets = []
        self.forget()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        x = read(logits, logits_type, shape)
        y = read(labels, labels_type, [shape[0], 1] + shape[2:])
        # copy=True gives each set memory of its own on the CPU too.
        self.sets = [(x.to(self.device, copy=True).requires_grad_(), y.to(self.device, copy=True)) for _ in range(sets)]
        return {}

    def forget(self):
        self.calls.clear()
        if hasattr(torch, "compile"):
            torch._dynamo.reset()

    def call(self, loss, gradient, how):
        """A function that evaluates the loss. It is made once, so as to compile it once."""
        key = (loss, gradient, how)
        if key in self.calls:
            return self.calls[key]
        function = released if how == "released" else LOSSES[loss]
        # Losses are computed in float32 whatever the type of the logits, as most are under
        # autocast; the conversion is part of PyTorch's time.
        half = self.sets[0][0].dtype != torch.float32
        value = (lambda x, y: function(x.float(), y)) if half else function
        if how == "compile":
            self.forget()
            value = torch.compile(value, dynamic=False)

        def forward(x, y):
            with torch.no_grad():
                return value(x, y), None

        def both(x, y):
            v = value(x, y)
            return v.detach(), torch.autograd.grad(v, x)[0]

        self.calls[key] = both if gradient else forward
        return self.calls[key]

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def prepare(self, loss, gradient, how):
        start = time.perf_counter()
        v, g = self.call(loss, gradient, how)(*self.sets[0])
        values = [v.item()]
        self.wait()
        took = time.perf_counter() - start
        if g is not None:
            g = g.double()
            values += [g.clamp(min=0).sum().item(), g.clamp(max=0).sum().item()]
        return {"values": values, "seconds": took}

    def time(self, loss, gradient, how, seconds):
        f = self.call(loss, gradient, how)
        n = 1
        while True:
            self.wait()
            took = self.repeat(f, n)
            if took >= seconds:
                return {"seconds": took / n, "calls": n}
            # The attempt that was too short warmed up for the next.
            n = max(2 * n, min(int(1.2 * n * seconds / took) + 1, 100 * n))

    def repeat(self, f, n):
        lead = n // 4 + 1  # not timed: brings an idle device up to its clock frequency
        calls = [self.sets[i % len(self.sets)] for i in range(lead + n)]
        for xy in calls[:lead]:
            f(*xy)
        if self.device.type != "cuda":
            start = time.perf_counter()
            for xy in calls[lead:]:
                f(*xy)
            return time.perf_counter() - start
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for xy in calls[lead:]:
            f(*xy)
        stop.record()
        stop.synchronize()
        return start.elapsed_time(stop) / 1e3
