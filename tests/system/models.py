"""Small real SavedModels with known answers, made in a process of their own: tests import no TensorFlow."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

_MAKE = """
import sys
import tensorflow as tf

class Half(tf.Module):
    # y = x / 2 + 2
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def serve(self, x):
        return {"y": x / 2.0 + 2.0}

class Busy(tf.Module):
    # y = x after a loop that nothing can shorten; an input of ones (the warm-up) turns it not once
    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def serve(self, x):
        turns = tf.cast((tf.reduce_max(x) - 1.0) * 2.5e5, tf.int32)
        done, _ = tf.while_loop(lambda i, a: i < turns, lambda i, a: (i + 1, a * 1.0), (0, 1.0))
        return {"y": x + 0.0 * tf.cast(done, tf.float32)}

root = sys.argv[1]
for name, module in {"half": Half(), "busy": Busy()}.items():
    tf.saved_model.save(module, f"{root}/{name}/1", signatures={"serving_default": module.serve})
"""


def make_models(root: Path) -> Path:
    """``half`` (x / 2 + 2), ``busy`` (see :func:`busy`), and ``single``: the same, one row a batch."""
    subprocess.run([sys.executable, "-c", _MAKE, str(root)], check=True, capture_output=True)
    shutil.copytree(root / "busy", root / "single")
    (root / "single" / "model.toml").write_text("[batch]\nmax_rows = 1\n")
    return root


def busy(seconds: float) -> list[list[float]]:
    """Input that keeps the model ``busy`` for about so long (on an idle core)."""
    return [[1.0 + seconds]]
