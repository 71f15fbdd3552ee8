"""Writes monai.json, the results of MONAI's networks: python3 make.py, run in this folder.

The committed file was written with MONAI 1.6.1 and PyTorch 2.15 in float64. The weights and
the input are hashed from their names, as in package nntest.
"""
import hashlib
import json
import math

import numpy as np
import torch
from monai.networks import nets


def uniform(name, n, seed):
    """Returns n numbers in [-1, 1), as nntest.HashValues does before rounding."""
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = (h ^ b) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64((h + seed) % 2**64) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1


def weights(name, shape, seed):
    u = uniform(name, math.prod(shape), seed)
    if name.endswith("running_mean"):
        v = 0.1 * u
    elif name.endswith("running_var"):
        v = 1 + 0.1 * np.abs(u)
    elif len(shape) > 1:
        v = u * math.sqrt(6 / math.prod(shape[1:]))
    elif name.endswith(".A.weight"):
        v = 0.25 + 0.05 * u
    elif name.endswith("weight"):
        v = 1 + 0.1 * u
    else:
        v = 0.1 * u
    return torch.tensor(v.astype(np.float32).astype(np.float64)).reshape(shape)


UNET = {"_target_": "UNet", "spatial_dims": 3, "in_channels": 2, "out_channels": 3, "channels": [4, 6, 8], "strides": [2, [2, 1, 2]]}
ATT = {"_target_": "AttentionUnet", "spatial_dims": 3, "in_channels": 2, "out_channels": 3, "channels": [4, 6, 8], "strides": [2, 2]}
REG = {"_target_": "RegUNet", "spatial_dims": 3, "in_channels": 2, "num_channel_initial": 3, "depth": 2}
SEG = {"_target_": "SegResNet", "in_channels": 2, "init_filters": 4, "blocks_down": [1, 2], "blocks_up": [1], "norm": ["GROUP", {"num_groups": 2}]}
VNET = {"_target_": "VNet", "in_channels": 2, "out_channels": 3}
CASES = [
    (UNET, [8, 8, 8]),
    (UNET | {"num_res_units": 1, "norm": "BATCH", "act": "RELU"}, [8, 8, 8]),
    (UNET | {"num_res_units": 3, "kernel_size": 5, "up_kernel_size": [3, 1, 5], "bias": False}, [8, 8, 8]),
    (UNET | {"num_res_units": 2, "kernel_size": [3, 1, 5], "adn_ordering": "AND", "act": ["ELU", {"alpha": 0.3}]}, [8, 8, 8]),
    (UNET | {"norm": ["GROUP", {"num_groups": 2}], "act": ["LEAKYRELU", {"negative_slope": 0.2}]}, [8, 8, 8]),
    (UNET | {"num_res_units": 2, "norm": ["INSTANCE", {"affine": True}], "adn_ordering": "A"}, [8, 8, 8]),
    (UNET | {"norm": None, "act": ["prelu", {"init": 0.25}], "adn_ordering": "NDA"}, [8, 8, 8]),
    (UNET | {"norm": "SYNCBATCH", "act": None}, [8, 8, 8]),
    (ATT, [8, 8, 8]),
    (ATT | {"kernel_size": 5, "up_kernel_size": [1, 3, 5]}, [8, 8, 8]),
    (REG, [8, 8, 8]),
    (REG | {"extract_levels": [0, 1, 2], "encode_kernel_sizes": [5, 1, 3], "out_channels": 2, "out_activation": "sigmoid"}, [8, 8, 4]),
    (REG | {"extract_levels": [0, 2], "encode_kernel_sizes": 5, "pooling": False, "concat_skip": True, "out_activation": ["elu", {"alpha": 2}]}, [8, 8, 8]),
    (REG | {"extract_levels": [1, 2], "out_activation": "PRELU"}, [8, 8, 8]),
    (SEG, [8, 6, 4]),
    (SEG | {"norm": "BATCH", "act": ["elu", {"alpha": 0.5, "inplace": True}], "upsample_mode": "deconv"}, [8, 6, 4]),
    (SEG | {"norm": "INSTANCE", "act": "LEAKYRELU", "dropout_prob": 0.2}, [8, 6, 4]),
    (SEG | {"norm": "BATCH", "norm_name": "group", "num_groups": 4}, [8, 6, 4]),
    (VNET, [16, 16, 16]),
    (VNET | {"act": "prelu", "bias": True}, [16, 16, 16]),
    (VNET | {"act": ["PReLU", {}]}, [16, 16, 16]),
    (VNET | {"act": ["elu", {"alpha": 0.2}], "dropout_prob_down": 0.5, "dropout_prob_up": [0.5, 0.5], "dropout_dim": 3}, [16, 16, 16]),
]

results = []
for seed, (call, size) in enumerate(CASES):
    def tuples(v):
        return tuple(tuples(x) for x in v) if isinstance(v, list) else v
    args = {k: tuples(v) for k, v in call.items() if k != "_target_"}
    net = getattr(nets, call["_target_"])(**args).double().eval()
    state = net.state_dict()
    with torch.no_grad():
        for name, v in state.items():
            if v.dtype == torch.float64:
                v.copy_(weights(name, tuple(v.shape), seed))
        shape = [1, 2, *size]
        x = torch.tensor(uniform("x", math.prod(shape), seed).astype(np.float32).astype(np.float64)).reshape(shape)
        y = net(x)
    flat = y.flatten()
    at = [int(i) for i in np.linspace(0, len(flat) - 1, 12)]
    results.append({
        "call": call, "size": size, "shape": list(y.shape), "norm": float(flat.norm()), "at": at, "values": [float(flat[i]) for i in at],
        "state": hashlib.sha256("".join(f"{name} {list(v.shape)}\n".replace(",", "") for name, v in sorted(state.items())).encode()).hexdigest(),
    })
with open("monai.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in results) + "\n]\n")
