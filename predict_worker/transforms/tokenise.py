"""``tokenise``: an input of token ids also takes texts."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..codec.dtypes import DTYPES, Array
from ..core.errors import ModelLoadError
from ..core.spec import DYNAMIC, Signature, TensorSpec
from ..encoded import TEXT
from .registration import Arrays, Options, Transform, pre
from .tensors import only

_WORD_OR_MARK = re.compile(r"[^\W_]+|[^\w\s]|_")
_WITHOUT_MARKS = str.maketrans("", "", string.punctuation)

SPLITS: Mapping[str, Callable[[str], list[str]]] = {
    "strip": lambda text: text.translate(_WITHOUT_MARKS).split(),
    "split": _WORD_OR_MARK.findall,
    "keep": str.split,
}
"""What becomes of punctuation: ``strip`` removes ASCII's (as Keras' TextVectorization does), ``split`` makes
each mark a token (as BERT's basic tokenizer does), ``keep`` splits at white space alone."""


@pre("tokenise")
def tokenise(signature: Signature, options: Options) -> Transform:
    """Ids are line numbers of the vocabulary, from 0. Longer texts than the input are cut, shorter padded."""
    target = only("tokenise.input", signature.inputs, options.get("input"))
    ids = read_vocabulary(options)
    unknown = ids[_known("unknown", options.get("unknown", "[UNK]"), ids)]
    padding = ids[_known("padding", options.get("padding", "[PAD]" if "[PAD]" in ids else ""), ids)]
    length = _length(target, options.get("length"))
    dtype = _dtype(target, len(ids))
    split, lowercase = SPLITS[options.get("punctuation", "strip")], options.get("lowercase", True)

    def convert(arrays: Arrays) -> Mapping[str, Array]:
        texts = arrays[target.name]
        if texts.dtype != object:
            return arrays
        tokens = np.full((len(texts), length), padding, dtype)
        for row, data in enumerate(texts.tolist()):
            text = data.decode()
            words = split(text.lower() if lowercase else text)[:length]
            tokens[row, : len(words)] = [ids.get(word, unknown) for word in words]
        return {**arrays, target.name: tokens}

    specs = (replace(spec, encoded=TEXT) if spec is target else spec for spec in signature.inputs)
    return Transform(tuple(specs), convert)


def read_vocabulary(options: Options) -> dict[str, int]:
    """Id by token. Raises ModelLoadError for a token that is there twice."""
    file = options.get("vocabulary")
    ids: dict[str, int] = {}
    for number, token in enumerate(options.lines(file)):
        if ids.setdefault(token, number) != number:
            raise ModelLoadError(f"{file}: token {token!r} is on lines {ids[token] + 1} and {number + 1}")
    return ids


def _known(key: str, token: str, ids: Mapping[str, int]) -> str:
    if token not in ids:
        raise ModelLoadError(f"tokenise.{key}: expected a token of the vocabulary, got {token!r}")
    return token


def _length(target: TensorSpec, given: int | None) -> int:
    shape: Sequence[int] = target.shape or ()
    if len(shape) != 2:
        raise ModelLoadError(f"tokenise: expected {target.name} to be (batch, length), it is {list(shape)}")
    if shape[1] == DYNAMIC and given is None:
        raise ModelLoadError(f"tokenise.length: expected a number, as {target.name} takes any length")
    if given not in (None, shape[1]) and shape[1] != DYNAMIC:
        raise ModelLoadError(f"tokenise.length: expected {shape[1]} as {target.name} has it, got {given}")
    return given or shape[1]


def _dtype(target: TensorSpec, size: int) -> np.dtype[np.generic]:
    dtype = DTYPES.get(target.dtype, np.dtype(bool))
    if dtype.kind in "iu" and size - 1 <= np.iinfo(dtype).max:
        return dtype
    if dtype.kind == "f" and size <= 2 ** (np.finfo(dtype).nmant + 1):  # Keras' Embedding takes float ids too
        return dtype
    raise ModelLoadError(f"tokenise: {target.name} is {target.dtype}, which cannot hold {size} ids")
