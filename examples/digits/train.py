"""Train a small network on scikit-learn's handwritten digits and put it into a model repository.

    python examples/digits/train.py                  trains models/digits/1, unless it is there
    python examples/digits/train.py --example var    writes var/digit.json, a request body with one digit
                                                     that it never saw, and var/digit.png, the same in ink

The model takes ``x``, float32 ``[-1, 8, 8, 1]`` in 0..16 as scikit-learn has it, and answers
``probabilities``, float32 ``[-1, 10]``; by its ``model.toml`` it also takes images of any size.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from predict_worker.core.spec import Signature, TensorSpec
from predict_worker.transforms import Options
from predict_worker.transforms.decode_image import decode_image

REPOSITORY = Path(os.environ.get("MODEL_REPOSITORY") or Path(__file__).resolve().parents[2] / "models")
LEAST_ACCURACY = 0.97
MODEL_TOML = """\
[batch]
# oneDNN keeps its own copy of the convolutions for every batch size that it meets: with four sizes
# instead of 64 a worker process stays at 60 MB instead of growing to 85.
pad_to = [1, 8, 32, 64]

[image]
scale = "0..16"
trim = true         # the digits that it knows fill their square ...
fit = "pad"         # ... in height, and
invert = "auto"     # are light on a dark ground: ink on paper is turned over
"""
SEED = 3


def split() -> list[Any]:
    """Images to train on and to test with, then their digits likewise; the same at every call."""
    digits = load_digits()
    images = digits.images.astype(np.float32)[..., np.newaxis]
    kept_apart = {"test_size": 0.2, "random_state": SEED, "stratify": digits.target}
    return list(train_test_split(images, digits.target, **kept_apart))


def example() -> dict[str, Any]:
    """A request for one held-out image; ``metadata`` says which digit it is."""
    _, images, _, digits = split()
    return {"model": "digits", "inputs": images[:1].tolist(), "metadata": {"digit": int(digits[0])}}


def picture(image: Any, side: int = 160) -> Image.Image:
    """An image of the data set as ink on paper."""
    levels = np.rint(255 - image[..., 0] * (255 / 16)).astype(np.uint8)
    return Image.fromarray(levels).resize((side, side), Image.Resampling.BICUBIC)


def write_example(folder: Path) -> None:
    """``digit.json`` and ``digit.png``: the same digit."""
    body = example()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "digit.json").write_text(json.dumps(body))
    picture(np.array(body["inputs"][0])).save(folder / "digit.png")


def drawn(images: Any) -> Any:
    """What a worker makes of their pictures, by the same ``model.toml``: the network learns these too."""
    takes = TensorSpec("x", "float32", (-1, 8, 8, 1))
    options = Options(tomllib.loads(MODEL_TOML)["image"])
    transform = decode_image(Signature("serving_default", (takes,), ()), options)
    files = np.empty(len(images), object)
    for position, image in enumerate(images):
        stream = io.BytesIO()
        picture(image, side=48).save(stream, "PNG")
        files[position] = stream.getvalue()
    return transform.convert({"x": files})["x"]


def fit() -> Any:
    """A trained Keras network."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    keras.utils.set_random_seed(SEED)
    images, _, digits, _ = split()
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Rescaling(1 / 16),
            keras.layers.Conv2D(32, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(64, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    network.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    both = np.concatenate([images, drawn(images)]), np.concatenate([digits, digits])
    network.fit(*both, batch_size=32, epochs=20, verbose=0)
    return network


def export(network: Any, target: Path) -> None:
    """Check a trained network and write it as a SavedModel; nothing is written below ``LEAST_ACCURACY``."""
    import keras
    import tensorflow as tf

    _, test_images, _, test_digits = split()
    module = tf.Module()
    module.network = keras.Sequential(network.layers)  # without the optimizer's variables
    module.predict = tf.function(
        lambda x: {"probabilities": module.network(x, training=False)},
        input_signature=[tf.TensorSpec([None, 8, 8, 1], tf.float32, name="x")],
    )
    answers = module.predict(tf.constant(test_images))["probabilities"].numpy()
    accuracy = float(np.mean(answers.argmax(axis=1) == test_digits))
    print(f"digits: {accuracy:.1%} of {len(test_digits)} held-out images are right")
    if accuracy < LEAST_ACCURACY:
        sys.exit(f"expected {LEAST_ACCURACY:.0%} or more: nothing was written")
    # Renamed into place: a worker that watches the repository never sees half a model.
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        tf.saved_model.save(module, str(unfinished), signatures={"serving_default": module.predict})
        unfinished.rename(target)
        (target.parent / "model.toml").write_text(MODEL_TOML)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--example", type=Path, metavar="FOLDER", help="write digit.json and digit.png there")
    if folder := parser.parse_args().example:
        write_example(folder)
        return
    target = REPOSITORY / "digits" / "1"
    if target.exists():
        print(f"{target} is there already")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    export(fit(), target)


if __name__ == "__main__":
    main()
