"""Runs ONNX models in onnxruntime, and checks them by package onnx if there is one.

Takes a JSON list of {"model", "image", "shape", "logits"}: files of the model, of its input as
float32 values and of the output to write. Prints what the model says of itself.
"""

import json
import sys

import numpy as np
import onnxruntime

try:
    import onnx
except ImportError:
    onnx = None

answers = []
for job in json.loads(sys.argv[1]):
    if onnx:
        onnx.checker.check_model(onnx.load(job["model"]), full_check=True)
        onnx.shape_inference.infer_shapes(onnx.load(job["model"]), strict_mode=True, data_prop=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(job["model"], options, providers=["CPUExecutionProvider"])
    image = np.fromfile(job["image"], "<f4").reshape(job["shape"])
    (logits,) = session.run(["logits"], {"image": image})
    logits.astype("<f4").tofile(job["logits"])
    meta = session.get_modelmeta()
    answers.append(
        {
            "input": session.get_inputs()[0].shape,
            "output": session.get_outputs()[0].shape,
            "shape": logits.shape,
            "producer": meta.producer_name,
            "metadata": meta.custom_metadata_map,
            "checked": onnx is not None,
        }
    )
print(json.dumps(answers))
