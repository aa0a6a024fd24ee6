"""The embedding with static int8 activations, first and last layers float: faster on LiteRT, a little less exact.

    python models/build/static.py build/models/calibration.npy embed-mobilefacenet-112-int8.tflite

Runs in the build environment, after calibration.py has run in the project's. Not shipped (decision 0202); an operator
whose board is slow adds it with `renzheng models add`.
"""

import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
from ai_edge_quantizer import qtyping, quantizer, recipe
from equalize import equalize
from recipes import RECIPES

from build import edit

#: The stem sees pixels, the head makes the template: both are cheap and lose most.
FLOAT_LAYERS = (".*Conv2d_0.*", ".*Logits.*", ".*embeddings.*")


def main() -> None:
    calibration, target = Path(sys.argv[1]), Path(sys.argv[2])
    (made,) = (entry for entry in RECIPES if entry.output.startswith("embed"))
    inputs = ((np.load(calibration).astype(np.float32) - 127.5) / 128.0)[:, np.newaxis]
    with tempfile.TemporaryDirectory() as scratch, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        floating, even = Path(scratch, "float.tflite"), Path(scratch, "even.tflite")
        edit(made, floating)
        equalize(floating, even, inputs[::5])
        work = quantizer.Quantizer(str(even), recipe.static_wi8_ai8())
        for layer in FLOAT_LAYERS:
            work.update_quantization_recipe(
                regex=layer,
                operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
                algorithm_key="no_quantize",
            )
        for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
            work.update_quantization_recipe(regex=".*", operation_name=end, algorithm_key="no_quantize")
        ranges = work.calibrate({"serving_default": [{"image": values} for values in inputs]})
        target.write_bytes(work.quantize(ranges).quantized_model)
    print(f"{target}  {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
