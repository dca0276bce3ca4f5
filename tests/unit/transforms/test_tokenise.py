"""Texts to token ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predict_worker.core.errors import ModelLoadError
from predict_worker.core.spec import Signature, TensorSpec
from predict_worker.transforms import Options, Transform
from predict_worker.transforms.tokenise import SPLITS, tokenise

KERAS = ["", "[UNK]", "the", "cat", "sat", "its", "café"]
BERT = ["[PAD]", "[UNK]", "it", "'", "s", "a", ".", "_"]
Y = TensorSpec("y", "float32", (-1, 2))


@pytest.fixture
def make(tmp_path: Path) -> Any:
    def made(
        tokens: Any = KERAS, shape: Any = (-1, 5), dtype: str = "int64", text: str = "", **options: Any
    ) -> Transform:
        (tmp_path / "vocab.txt").write_bytes((text or "\n".join(tokens) + "\n").encode())
        signature = Signature("serving_default", (TensorSpec("ids", dtype, shape),), (Y,))
        return tokenise(signature, Options({"vocabulary": "vocab.txt", **options}, (tmp_path,)))

    return made


def ids(transform: Transform, *texts: str) -> Any:
    return transform.convert({"ids": np.array([text.encode() for text in texts], object)})["ids"].tolist()


def test_ids_are_line_numbers_unknown_words_and_padding_have_theirs(make: Any) -> None:
    transform = make()
    assert transform.specs == (TensorSpec("ids", "int64", (-1, 5), "text"),)
    assert ids(transform, "The cat SAT!", "the dog", "", "It's Café?") == [
        [2, 3, 4, 0, 0],
        [2, 1, 0, 0, 0],
        [0, 0, 0, 0, 0],
        [5, 6, 0, 0, 0],
    ]


def test_long_texts_are_cut(make: Any) -> None:
    assert ids(make(), "cat " * 9) == [[3] * 5]
    assert ids(make(shape=(-1, -1), length=2), "cat " * 9, "the") == [[3, 3], [2, 0]]


def test_marks_can_be_tokens_of_their_own(make: Any) -> None:
    assert ids(make(BERT, punctuation="split"), "It's a_.") == [[2, 3, 4, 5, 7]]
    assert ids(make(["[PAD]", "[UNK]", "it's"], punctuation="keep"), "It's it s") == [[2, 1, 1, 0, 0]]


def test_letters_keep_their_size_where_that_is_asked_for(make: Any) -> None:
    assert ids(make(["[PAD]", "[UNK]", "Cat"], lowercase=False), "Cat cat") == [[2, 1, 0, 0, 0]]


def test_unknown_and_padding_may_be_called_otherwise(make: Any) -> None:
    named = make(["<unk>", "<pad>", "a"], unknown="<unk>", padding="<pad>")
    assert ids(named, "a b") == [[2, 0, 1, 1, 1]]


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32"])
def test_ids_have_the_dtype_of_the_model(make: Any, dtype: str) -> None:
    tokens = make(dtype=dtype).convert({"ids": np.array([b"cat"], object)})["ids"]
    assert tokens.dtype == np.dtype(dtype)


def test_ids_as_such_are_taken_too(make: Any) -> None:
    native = {"ids": np.ones((1, 5), np.int64)}
    assert make().convert(native) == native


def test_line_ends_of_windows_are_line_ends(make: Any) -> None:
    assert ids(make(text="[PAD]\r\n[UNK]\r\ncat\r\n"), "cat") == [[2, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("given_options", "says"),
    [
        ({"tokens": ["[UNK]", "a", "a"], "padding": "a"}, "token 'a' is on lines 2 and 3"),
        ({"tokens": ["", "a"]}, "tokenise.unknown: expected a token of the vocabulary, got '[UNK]'"),
        ({"tokens": ["[UNK]", "a"]}, "tokenise.padding: expected a token of the vocabulary, got ''"),
        ({"shape": (-1,)}, "expected ids to be (batch, length), it is [-1]"),
        ({"shape": None}, "it is []"),
        ({"shape": (-1, -1)}, "tokenise.length: expected a number"),
        ({"length": 6}, "tokenise.length: expected 5 as ids has it, got 6"),
        ({"dtype": "string"}, "ids is string, which cannot hold 7 ids"),
        ({"dtype": "bool"}, "ids is bool"),
        ({"tokens": ["[UNK]", *map(str, range(300))], "padding": "0", "dtype": "uint8"}, "cannot hold 301"),
        ({"vocabulary": "none.txt"}, "no file none.txt beside the model"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused_at_load(make: Any, given_options: Any, says: str) -> None:
    with pytest.raises(ModelLoadError) as refused:
        make(**given_options)
    assert says in refused.value.detail


def test_a_vocabulary_that_is_no_text_is_refused_at_load(make: Any, tmp_path: Path) -> None:
    transform_options = Options({"vocabulary": "v"}, (tmp_path,))
    (tmp_path / "v").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelLoadError, match="v: 'utf-8' codec"):
        tokenise(Signature("s", (TensorSpec("ids", "int64", (-1, 5)),), (Y,)), transform_options)


@given(st.text())
def test_no_text_is_too_odd(text: str) -> None:
    for split in SPLITS.values():
        assert all(isinstance(token, str) and token and not token.isspace() for token in split(text))
