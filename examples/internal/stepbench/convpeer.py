"""Single convolutions in plain PyTorch, for comparison.

Requests are read from standard input, one JSON object per line, and each is answered
with one line of JSON on standard output:

  {"do": "describe"} -> {"python": …, "torch": …, "compile": BOOL, "cuda": BOOL}
  {"do": "limits", "device": DEVICE, "precision": PRECISION}
      -> {"product": {"seconds": S, "operations": N}, "copy": {"seconds": S, "bytes": N}}; times
         a product of large matrices of that precision, and a copy within the device's memory
  {"do": "shape", "transposed": BOOL, "x": SHAPE, "weight": SHAPE, "y": SHAPE, "stride": [X, Y, Z],
   "padding": …, "dilation": …, "output_padding": …, "device": DEVICE, "precision": PRECISION}
      -> {} or {"failed": TEXT}; creates x, the weight and the gradient of y, in the memory
         format channels_last_3d. PRECISION is "float32", "tf32", or "bfloat16", of which type
         the tensors are then. cuDNN chooses its algorithms by measurement. Running out of a
         GPU's memory is a failure
  {"do": "time", "operation": OPERATION, "seconds": S} -> {"seconds": …} or {"failed": TEXT}; the
         time of one call, of as many as take at least S seconds. OPERATION is "forward",
         "gradient of x" or "gradient of weight"
  {"do": "release"} -> {}; frees the tensors

The response to a request that fails is {"error": TEXT}.
"""

import time

import torch


class Peer:
    def __init__(self):
        torch.set_grad_enabled(False)
        self.device, self.calls = torch.device("cpu"), {}

    def describe(self):
        return describe()

    def use(self, device, precision):
        self.device = torch.device(device)
        choose(precision)
        return torch.bfloat16 if precision == "bfloat16" else torch.float32

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def measure(self, call, least):
        call()
        call()
        self.wait()
        n = 1
        while True:
            start = time.perf_counter()
            for _ in range(n):
                call()
            self.wait()
            took = time.perf_counter() - start
            if took >= least:
                return took / n
            n *= 2 if took * 2 >= least else 4

    def limits(self, device, precision):
        dtype = self.use(device, precision)
        n, size = (8192, 1 << 28) if self.device.type == "cuda" else (256, 1 << 20)
        a = torch.randn(n, n, device=self.device).to(dtype)
        b = torch.randn(n, n, device=self.device).to(dtype)
        product = self.measure(lambda: a @ b, 0.1)
        source = torch.randn(size, device=self.device)
        target = torch.empty_like(source)
        copy = self.measure(lambda: target.copy_(source), 0.05)
        return {"product": {"seconds": product, "operations": 2 * n**3}, "copy": {"seconds": copy, "bytes": 8 * size}}

    def shape(self, transposed, x, weight, y, stride, padding, dilation, output_padding, device, precision):
        dtype = self.use(device, precision)
        try:
            make = lambda shape: torch.randn(shape, device=self.device).to(dtype).contiguous(memory_format=torch.channels_last_3d)
            a, w, g = make(x), make(weight), make(y)
        except RuntimeError as e:
            return {"failed": out_of_memory(e, self.device.type)}
        settings = (stride, padding, dilation, transposed, output_padding, 1)
        self.calls = {"forward": lambda: torch.ops.aten.convolution(a, w, None, *settings)}
        for name, mask in ("gradient of x", [True, False, False]), ("gradient of weight", [False, True, False]):
            self.calls[name] = lambda mask=mask: torch.ops.aten.convolution_backward(g, a, w, None, *settings, mask)
        return {}

    def time(self, operation, seconds):
        try:
            return {"seconds": self.measure(self.calls[operation], seconds)}
        except RuntimeError as e:
            return {"failed": out_of_memory(e, self.device.type)}

    def release(self):
        self.calls = {}
        free()
        return {}
