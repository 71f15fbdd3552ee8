"""The losses for which MONAI has a class, with the settings of losses.py."""

import importlib.metadata
import warnings

SMOOTH = {"smooth_nr": 1e-5, "smooth_dr": 1e-5}

CLASSES = {
    "tversky": ("TverskyLoss", {"sigmoid": True, "alpha": 0.5, "beta": 0.5, **SMOOTH}),
    "iou": ("DiceLoss", {"sigmoid": True, "squared_pred": True, "jaccard": True, **SMOOTH}),
    "dice": ("DiceLoss", {"sigmoid": True, "squared_pred": True, **SMOOTH}),
    "dice-ce": ("DiceCELoss", {"softmax": True, **SMOOTH}),
    "dice-focal": ("DiceFocalLoss", {"sigmoid": True, **SMOOTH}),
    "fl": ("FocalLoss", {}),
    "generalized-dice": ("GeneralizedDiceLoss", {"sigmoid": True, **SMOOTH}),
}


def version():
    """The version of MONAI, or "" without it."""
    try:
        return importlib.metadata.version("monai")
    except importlib.metadata.PackageNotFoundError:
        return ""


def function(loss, logits, target):
    """The loss as a function of logits and target like these."""
    import monai.losses

    name, settings = CLASSES[loss]
    channels = logits.shape[1]
    indices = channels > 1 and target.shape[1] != channels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluate = getattr(monai.losses, name)(to_onehot_y=indices, **settings)
    if indices:
        return evaluate
    return lambda x, target: evaluate(x, target.to(x.dtype))
