"""Models that misbehave on certain rows: Python models, so no library needs to be fooled.

All take ``x`` float32 [-1, 1] and answer ``y`` = 2 x, but for the rows that a model dislikes.
"""

from __future__ import annotations

from pathlib import Path

POISON = 13.0
"""The row that makes a model misbehave."""

LOAD_S = 10.0
"""How long the model ``slow`` loads."""

_MODEL = """
import ctypes, os, signal, sys, time
import numpy as np
from predict_worker.core.spec import Signature, TensorSpec

X = TensorSpec("x", "float32", (-1, 1))
SIGNATURES = (Signature("serving_default", (X,), (TensorSpec("y", "float32", {answer}),)),)
calls = []

def misbehave(x, y):
    {misbehave}

def load(directory):
    {load}

    def predict(x):
        calls.append(1)
        y = 2 * x
        return {{"y": misbehave(x, y) if {always} or (x == {poison}).any() else y}}

    return predict
"""

_MISBEHAVIOUR = {
    "raises": 'raise ValueError(f"unlucky, one of {len(x)}")',
    # Called so, C code keeps the interpreter lock: no other thread of the process runs.
    "hangs": "ctypes.PyDLL(None).sleep(600)",
    "kills": "os.kill(os.getpid(), signal.SIGKILL)",
    "aborts": "os.abort()",
    "exits": "sys.exit(3)",
    "short": "return y[:-1]",
    "nan": f"return np.where(x == {POISON}, np.nan, y).astype(np.float32)",
    "greedy": "return np.empty(1 << 60, np.uint8)",
    "widens": "return np.repeat(y, len(calls), axis=1)",
    "lies": "return np.repeat(y, 2, axis=1)",
}
_LOADS = {
    "slow": f"time.sleep({LOAD_S})",
    "fatal": "os.abort()",
    "leaves": "sys.exit(3)",
}
_MANIFESTS = {
    "hangs": "timeout_s = 1.5\n",
    "nan": "outputs_finite = true\n",
    "widens": "[batch]\nmax_rows = 4\n",
}


def make_hostile(root: Path) -> Path:
    for name in (*_MISBEHAVIOUR, *_LOADS):
        version = root / name / "1"
        version.mkdir(parents=True)
        source = _MODEL.format(
            misbehave=_MISBEHAVIOUR.get(name, "return y"),
            answer=(-1, -1) if name == "widens" else (-1, 1),
            always=name == "widens",
            load=_LOADS.get(name, "pass"),
            poison=POISON,
        )
        (version / "model.py").write_text(source)
        if name in _MANIFESTS:
            (root / name / "model.toml").write_text(_MANIFESTS[name])
    return root


KILLS, HANGS, RAISES, NAN, AWAY = 13.0, 14.0, 15.0, 16.0, 17.0
"""Rows of the model ``mixed``; AWAY may succeed later, and does each third time. The times are counted by the
file ``attempts`` beside the repository."""

_MIXED = f"""
import ctypes, os, signal
from pathlib import Path
import tensorflow as tf
from predict_worker import Retryable
from predict_worker.core.spec import Signature, TensorSpec

X = TensorSpec("x", "float32", (-1, 1))
SIGNATURES = (Signature("serving_default", (X,), (TensorSpec("y", "float32", (-1, 1)),)),)

def load(directory):
    two, attempts = tf.constant(2.0), directory.parents[2] / "attempts"

    def predict(x):
        if (x == {KILLS}).any():
            os.kill(os.getpid(), signal.SIGKILL)
        if (x == {HANGS}).any():
            ctypes.PyDLL(None).sleep(600)
        if (x == {RAISES}).any():
            raise ValueError("unlucky")
        if (x == {AWAY}).any():
            if len(x) == 1:
                with attempts.open("a") as count:
                    count.write(".")
            if len(x) > 1 or attempts.stat().st_size % 3:
                raise Retryable("the service is away")
        return {{"y": tf.where(tf.constant(x) == {NAN}, float("nan"), tf.constant(x) * two).numpy()}}

    return predict
"""


def make_mixed(root: Path, backoff_s: float = 0.2) -> Path:
    """One model that misbehaves in every way, on TensorFlow."""
    version = root / "mixed" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(_MIXED)
    manifest = f"timeout_s = 1.5\noutputs_finite = true\n[retry]\nbackoff_s = {backoff_s}\n"
    (root / "mixed" / "model.toml").write_text(manifest)
    return root
