"""What peer.py and convpeer.py have in common: the text before either of them.
"""

import gc
import platform

import torch


def describe():
    return {"python": platform.python_version(), "torch": torch.__version__, "compile": hasattr(torch, "compile"),
            "cuda": torch.cuda.is_available()}


def choose(precision):
    """Lets cuDNN choose its algorithms by measurement, and convolutions and products round as PRECISION says."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision != "float32"


def out_of_memory(error, device):
    """Returns the first line of an error that says that a GPU's memory is full, and raises any other."""
    if device == "cpu" or "out of memory" not in str(error):
        raise error
    return str(error).strip().splitlines()[0]


def free():
    """Returns the memory of tensors that are no longer used."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
