"""Train a logistic regression on scikit-learn's handwritten digits and put it into a model repository.

    python examples/sklearn_digits/train.py     trains models/sklearn_digits/1, unless it is there

What is stored are numbers (``.npz``) and ``model.py``, no pickle.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

REPOSITORY = Path(os.environ.get("MODEL_REPOSITORY") or Path(__file__).resolve().parents[2] / "models")
LEAST_ACCURACY = 0.95


def train(target: Path) -> None:
    """Train, check and write; nothing is written below ``LEAST_ACCURACY``."""
    digits = load_digits()
    images, test_images, answers, test_answers = train_test_split(
        digits.data.astype(np.float32), digits.target, test_size=0.2, random_state=3, stratify=digits.target
    )
    classifier = LogisticRegression(C=0.01, max_iter=1000).fit(images, answers)
    accuracy = float(classifier.score(test_images, test_answers))
    print(f"sklearn_digits: {accuracy:.1%} of {len(test_answers)} held-out images are right")
    if accuracy < LEAST_ACCURACY:
        sys.exit(f"expected {LEAST_ACCURACY:.0%} or more: nothing was written")
    # Renamed into place: a worker that watches the repository never sees half a model.
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    unfinished.mkdir(parents=True)
    try:
        np.savez(
            unfinished / "weights.npz",
            coefficients=classifier.coef_.astype(np.float32),
            intercepts=classifier.intercept_.astype(np.float32),
        )
        shutil.copy(Path(__file__).with_name("model.py"), unfinished / "model.py")
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def main() -> None:
    target = REPOSITORY / "sklearn_digits" / "1"
    if target.exists():
        print(f"{target} is there already")
    else:
        train(target)


if __name__ == "__main__":
    main()
