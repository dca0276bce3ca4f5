"""What every runtime promises, on the same small models in every format.

The table is the documentation and the list of the tests. ``yes``: served. ``refused``: the format has it,
its runtime does not take it, and the load says so. ``-``: the format cannot hold it.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnx")

from predict_worker.codec import pack, unpack
from predict_worker.codec.dtypes import DTYPES
from predict_worker.core.errors import ModelLoadError
from predict_worker.core.spec import DEFAULT_SIGNATURE, ModelSpec, TensorSpec
from predict_worker.registry import LoadedModel, ModelRegistry
from predict_worker.repository.directory import ModelRepository
from predict_worker.repository.manifest import KINDS
from predict_worker.runtimes.base import runtime_for
from tests.runtimes.artefacts import FLOAT_CASES, MAKERS

pytestmark = pytest.mark.filterwarnings("ignore")

TABLE = """
            saved_model  keras    h5       tflite   onnx     python
bool        yes          yes      yes      yes      yes      yes
int8        yes          -        -        yes      yes      yes
int16       yes          yes      yes      yes      yes      yes
int32       yes          yes      yes      yes      yes      yes
int64       yes          yes      yes      yes      yes      yes
uint8       yes          yes      yes      yes      yes      yes
uint16      yes          yes      yes      yes      yes      yes
uint32      yes          yes      yes      yes      yes      yes
uint64      yes          yes      yes      yes      yes      yes
float16     yes          yes      yes      yes      yes      yes
float32     yes          yes      yes      yes      yes      yes
float64     yes          yes      yes      yes      yes      yes
complex64   yes          yes      yes      yes      refused  yes
complex128  yes          yes      yes      yes      refused  yes
bfloat16    yes          yes      yes      yes      refused  refused
string      yes          yes      yes      yes      yes      yes
double      yes          yes      yes      yes      yes      yes
pair        yes          yes      yes      yes      yes      yes
signatures  yes          -        -        yes      -        yes
dynamic     yes          yes      yes      yes      yes      yes
fixed       yes          yes      yes      yes      yes      yes
scalar      yes          -        -        yes      yes      yes
unranked    yes          -        -        -        yes      yes
total       yes          -        -        yes      yes      yes
"""
"""Rows: dtypes, then the cases of :mod:`tests.runtimes.artefacts`."""


def _cells() -> Iterator[tuple[str, str, str]]:
    kinds, *rows = [line.split() for line in TABLE.strip().splitlines()]
    for row, *cells in rows:
        yield from ((row, kind, cell) for kind, cell in zip(kinds, cells, strict=True))


CELLS = list(_cells())
SERVED = {(row, kind) for row, kind, cell in CELLS if cell == "yes"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., LoadedModel]:
    """A case in the format of a kind, loaded and warmed as in a worker; once for each."""

    @cache
    def load(kind: str, case: str, dtypes: tuple[str, ...] = ()) -> LoadedModel:
        repository = tmp_path_factory.mktemp("models")
        MAKERS[kind](case, repository / "m" / "1", dtypes)
        runtimes = partial(runtime_for, allow_python=True)
        return ModelRegistry(ModelRepository(repository), runtimes).load("m", 1)

    return load


def kinds_with(case: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", [kind for kind in KINDS if (case, kind) in SERVED])


def only_output(model: LoadedModel) -> str:
    (output,) = model.spec.signatures[DEFAULT_SIGNATURE].outputs
    return output.name


def test_the_table_has_every_kind_and_every_dtype() -> None:
    assert {kind for _, kind, _ in CELLS} == set(KINDS) == set(MAKERS)
    assert {row for row, _, _ in CELLS} >= {*DTYPES, "bfloat16", "string", *FLOAT_CASES}


def sample(dtype: str) -> Any:
    if dtype == "string":
        return np.array(["é".encode(), b"", b"a\0b"], object)
    return np.array([0, 1, 1], "float32" if dtype == "bfloat16" else dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_every_dtype_goes_through_unchanged(model: Any, kind: str) -> None:
    dtypes = tuple(row for row, of, cell in CELLS if of == kind and cell == "yes" and row not in ALL_CASES)
    loaded = model(kind, "same", dtypes)
    signature = loaded.spec.signatures[DEFAULT_SIGNATURE]
    outside = {name: "float32" if name == "bfloat16" else name for name in dtypes}
    assert {s.name: s for s in signature.inputs} == {
        f"in_{name}": TensorSpec(f"in_{name}", outside[name], (-1,)) for name in dtypes
    }
    assert {s.name: s.dtype for s in signature.outputs} == {f"out_{name}": outside[name] for name in dtypes}
    assert signature.batched
    answer = loaded.run(DEFAULT_SIGNATURE, {f"in_{name}": sample(name) for name in dtypes})
    for name, array in unpack(pack(answer)).items():
        given = sample(name.removeprefix("out_"))
        assert (array.dtype, array.tolist()) == (given.dtype, given.tolist())


ALL_CASES = {*FLOAT_CASES, "pair", "signatures"}


@pytest.mark.parametrize(("dtype", "kind"), [(row, kind) for row, kind, cell in CELLS if cell == "refused"])
def test_a_dtype_that_cannot_be_served_is_refused_at_load(model: Any, dtype: str, kind: str) -> None:
    with pytest.raises(ModelLoadError, match=dtype):
        model(kind, "same", (dtype,))


@kinds_with("double")
def test_a_signature_tells_names_dtypes_and_shapes_and_answers_any_number_of_rows(
    model: Any, kind: str
) -> None:
    loaded = model(kind, "double")
    signature = loaded.spec.signatures[DEFAULT_SIGNATURE]
    assert signature.inputs == (TensorSpec("x", "float32", (-1, 3)),)
    assert signature.outputs == (TensorSpec("y", "float32", (-1, 3)),)
    assert ModelSpec.from_dict(loaded.spec.to_dict()) == loaded.spec
    assert loaded.spec.artefact == kind
    for rows in (1, 64, 7, 1, 2):
        x = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
        np.testing.assert_array_equal(loaded.run(DEFAULT_SIGNATURE, {"x": x})["y"], 2 * x)


@kinds_with("double")
def test_answers_do_not_share_memory_with_each_other(model: Any, kind: str) -> None:
    loaded = model(kind, "double")
    first = loaded.run(DEFAULT_SIGNATURE, {"x": np.ones((2, 3), np.float32)})["y"]
    loaded.run(DEFAULT_SIGNATURE, {"x": np.zeros((2, 3), np.float32)})
    assert first.tolist() == [[2.0] * 3] * 2


@kinds_with("double")
def test_an_input_that_is_read_only_and_not_aligned_is_taken(model: Any, kind: str) -> None:
    buffer = b"\0" + np.arange(6, dtype=np.float32).tobytes()
    x = np.frombuffer(buffer, np.float32, offset=1).reshape(2, 3)
    assert (x.flags.writeable, x.flags.aligned) == (False, False)
    answer = model(kind, "double").run(DEFAULT_SIGNATURE, {"x": x})
    np.testing.assert_array_equal(answer["y"], 2 * np.arange(6).reshape(2, 3))


@kinds_with("pair")
def test_several_inputs_and_outputs_keep_their_names(model: Any, kind: str) -> None:
    loaded = model(kind, "pair")
    signature = loaded.spec.signatures[DEFAULT_SIGNATURE]
    assert {spec.name: spec.dtype for spec in signature.inputs} == {"a": "float32", "b": "int64"}
    assert {spec.name: spec.shape for spec in signature.outputs} == {"sum": (-1, 2), "twice": (-1,)}
    a, b = np.ones((3, 2), np.float32), np.array([1, 2, 3])
    answer = loaded.run(DEFAULT_SIGNATURE, {"b": b, "a": a})
    assert answer["sum"].tolist() == [[2, 2], [3, 3], [4, 4]]
    assert answer["twice"].tolist() == [2, 4, 6]


@kinds_with("signatures")
def test_each_signature_is_called_by_its_name(model: Any, kind: str) -> None:
    loaded, x = model(kind, "signatures"), np.array([4], np.float32)
    assert set(loaded.spec.signatures) == {"serving_default", "half"}
    assert loaded.run("half", {"x": x})["y"].tolist() == [2]
    assert loaded.run("serving_default", {"x": x})["y"].tolist() == [8]
    assert loaded.run("half", {"x": np.array([4, 6], np.float32)})["y"].tolist() == [2, 3]


@kinds_with("dynamic")
def test_a_dynamic_dimension_takes_any_size(model: Any, kind: str) -> None:
    loaded = model(kind, "dynamic")
    assert loaded.spec.signatures[DEFAULT_SIGNATURE].inputs[0].shape == (-1, -1)
    for shape in ((2, 5), (3, 1), (2, 5), (1, 7)):
        assert loaded.run(DEFAULT_SIGNATURE, {"x": np.ones(shape, np.float32)})["y"].shape == shape


@kinds_with("fixed")
def test_without_a_dynamic_first_dimension_nothing_is_batched(model: Any, kind: str) -> None:
    loaded = model(kind, "fixed")
    signature = loaded.spec.signatures[DEFAULT_SIGNATURE]
    assert signature.inputs[0].shape == (2, 3)
    assert not signature.batched
    answer = loaded.run(DEFAULT_SIGNATURE, {"x": np.ones((2, 3), np.float32)})
    assert answer["y"].tolist() == [[2.0] * 3] * 2


@kinds_with("scalar")
def test_a_scalar_stays_a_scalar(model: Any, kind: str) -> None:
    loaded = model(kind, "scalar")
    answer = loaded.run(DEFAULT_SIGNATURE, {"x": np.array(1.5, np.float32)})["y"]
    assert (answer.shape, answer.dtype, answer.item()) == ((), np.float32, 3.0)
    assert unpack(pack({"y": answer}))["y"].shape == ()
    assert not loaded.spec.signatures[DEFAULT_SIGNATURE].batched


@kinds_with("unranked")
def test_an_unknown_rank_takes_every_rank(model: Any, kind: str) -> None:
    loaded = model(kind, "unranked")
    assert loaded.spec.signatures[DEFAULT_SIGNATURE].inputs[0].shape is None
    for shape in ((), (2,), (2, 1, 3)):
        assert loaded.run(DEFAULT_SIGNATURE, {"x": np.ones(shape, np.float32)})["y"].shape == shape


@kinds_with("total")
def test_an_output_without_rows_is_answered_and_never_batched(model: Any, kind: str) -> None:
    loaded = model(kind, "total")
    assert not loaded.spec.signatures[DEFAULT_SIGNATURE].batched
    answer = loaded.run(DEFAULT_SIGNATURE, {"x": np.ones((2, 3), np.float32)})[only_output(loaded)]
    assert (answer.shape, answer.item()) == ((), 6.0)


@kinds_with("dynamic")
def test_the_memory_of_a_model_goes_with_it(model: Any, kind: str, tmp_path: Path) -> None:
    MAKERS[kind]("double", tmp_path / "m" / "1")
    registry = ModelRegistry(ModelRepository(tmp_path), partial(runtime_for, allow_python=True))
    with ThreadPoolExecutor(1) as beside:  # as in a worker that serves another version meanwhile
        beside.submit(registry.load, "m", 1).result()
    x = np.ones((2, 3), np.float32)
    answer = registry.get("m", 1).run(DEFAULT_SIGNATURE, {"x": x})[only_output(registry.get("m", 1))]
    assert np.array_equal(answer, 2 * x)
    runnable = weakref.ref(registry.get("m", 1).runnable)
    registry.unload("m", 1)
    gc.collect()
    assert runnable() is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_none_of_its_kind_fails_with_a_load_error(kind: str, tmp_path: Path) -> None:
    MAKERS[kind]("double", tmp_path / "m" / "1")
    suffixes = (".pb", ".keras", ".h5", ".tflite", ".onnx", ".py")
    (file,) = [path for path in (tmp_path / "m" / "1").iterdir() if path.name.endswith(suffixes)][:1]
    for content in (b"no model", file.read_bytes()[: file.stat().st_size // 2], b""):
        file.write_bytes(content)
        registry = ModelRegistry(ModelRepository(tmp_path), partial(runtime_for, allow_python=True))
        with pytest.raises(ModelLoadError, match="m, version 1"):
            registry.load("m", 1)
