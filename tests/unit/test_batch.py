"""Entries stacked into calls, and every entry's own outcome."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predict_worker.batch import MAX_DETAIL, run_batch
from predict_worker.codec import Columnar, Instances, pack, pack_raw, unpack
from predict_worker.core.errors import ModelNotFound
from predict_worker.core.ports import Entry, Outcome
from predict_worker.core.spec import BatchPolicy, Signature, TensorSpec
from predict_worker.registry import LoadedModel
from tests.unit.models import X, Y, double, loaded

POISON = 666.0


def entry(payload: Any, rows: int = 1, **fields: Any) -> Entry:
    if isinstance(payload, list | np.ndarray):
        array = np.array(payload, np.float32)
        payload, rows = pack({"x": array}), len(array)
    known = {
        "version": 1,
        "pinned": False,
        "signature_name": "serving_default",
        "outputs": (),
        "queue_ms": 3.5,
    }
    return Entry(
        id="e", job_id="0-a", range_index=0, rows=rows, attempt=1, payload=payload, **{**known, **fields}
    )


def run(model: LoadedModel, *entries: Entry) -> list[Outcome]:
    outcomes = run_batch(lambda version: model, entries)
    assert [outcome.entry for outcome in outcomes] == list(entries)
    assert all((outcome.payload is None) != (outcome.error is None) for outcome in outcomes)
    return outcomes


def answers(outcomes: list[Outcome]) -> list[Any]:
    """Output y of each, or the code of its error."""
    return [o.error.code if o.error else unpack(o.payload or b"")["y"].tolist() for o in outcomes]


def poisoned(x: Any) -> Any:
    if (x == POISON).any():
        raise ValueError(f"poison in {len(x)} rows")
    return double(x)


def test_entries_share_a_call_and_get_their_own_rows():
    model, calls = loaded()
    outcomes = run(model, entry([[1, 2]]), entry([[3, 4], [5, 6]]), entry([[7, 8]]))
    assert answers(outcomes) == [[[2, 4]], [[6, 8], [10, 12]], [[14, 16]]]
    assert calls == [4]


def test_an_outcome_says_what_ran_and_how_long():
    model, _ = loaded()
    outcome = run(model, entry([[1, 2]]), entry([[3, 4]]))[1]
    assert (outcome.version, outcome.digest, outcome.artefact) == (1, "sha256:1", "saved_model")
    assert outcome.timings.queue_ms == 3.5
    assert outcome.timings.batch_rows == 2
    assert outcome.timings.predict_ms is not None
    assert outcome.timings.predict_ms > 0


def test_a_poisoned_entry_fails_alone():
    model, calls = loaded(poisoned)
    outcomes = run(model, entry([[1, 2]]), entry([[3, POISON]]), entry([[5, 6]]))
    assert answers(outcomes) == [[[2, 4]], "model_error", [[10, 12]]]
    assert outcomes[1].error is not None
    assert outcomes[1].error.detail == "ValueError: poison in 1 rows"
    assert calls == [3, 1, 1, 1]


def test_a_models_message_is_kept_within_bounds():
    def fail(x: Any) -> Any:
        raise RuntimeError("x" * 10_000)

    outcome = run(loaded(fail)[0], entry([[1, 2]]))[0]
    assert outcome.error is not None
    assert len(outcome.error.detail) == MAX_DETAIL


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (entry(None), "payload_gone"),
        (entry(b"PWT1nonsense"), "corrupt_payload"),
        (entry(b"PWJ1["), "corrupt_payload"),
        (entry(pack_raw(Columnar([[1, "two"]]))), "invalid_input"),
        (entry(pack({"x": np.zeros((1, 3), np.float32)})), "invalid_input"),
        (entry(pack({"x": np.zeros((1, 2), np.float64)})), "invalid_input"),
        (entry(pack({"z": np.zeros((1, 2), np.float32)})), "invalid_input"),
        (entry([[1, 2]], signature_name="other"), "invalid_input"),
        (entry([[1, 2]], outputs=("z",)), "invalid_input"),
    ],
)
def test_an_entry_that_cannot_run_fails_alone_and_never_reaches_the_model(bad, code):
    model, calls = loaded()
    assert answers(run(model, entry([[1, 2]]), bad, entry([[3, 4]]))) == [[[2, 4]], code, [[6, 8]]]
    assert calls == [2]


def test_what_fits_beside_its_like_is_told_from_what_only_looks_like_it():
    x, z = (TensorSpec(name, "float32", (-1, 2)) for name in "xz")
    model, calls = loaded(lambda x, z: {"y": x - z}, Signature("serving_default", (x, z), (Y,)))
    one, two = np.ones((1, 2), np.float32), np.full((1, 2), 2, np.float32)
    fitting = entry(pack({"x": two, "z": one}))
    turned = entry(pack({"z": one, "x": two}))
    wide, rows = np.ones((1, 3), np.float32), np.ones((2, 2), np.float32)
    bad = [
        entry(pack({"x": wide, "z": one})),
        entry(pack({"x": two.astype(np.float64), "z": one})),
        entry(pack({"x": rows, "z": one})),
        entry(pack({"x": two})),
        entry(pack({"x": two, "z": one}), signature_name="other"),
        entry(pack({"x": two, "z": one}), outputs=("x",)),
    ]
    outcomes = run(model, fitting, *bad, turned, fitting, *bad, turned)
    refused, answered = ["invalid_input"] * len(bad), [[1, 1]]
    assert answers(outcomes) == [answered, *refused, answered, answered, *refused, answered]
    assert calls == [4]


def test_inputs_nobody_has_checked_are_bound_here():
    model, calls = loaded()
    raw = [entry(pack_raw(Columnar([[1, 2]]))), entry(pack_raw(Instances([[3, 4], {"x": [5, 6]}][:1])))]
    assert answers(run(model, *raw, entry([[7, 8]]))) == [[[2, 4]], [[6, 8]], [[14, 16]]]
    assert calls == [3]


def test_different_item_shapes_never_share_a_call():
    x, y = (TensorSpec(name, "float32", (-1, -1)) for name in "xy")
    model, calls = loaded(double, Signature("serving_default", (x,), (y,)))
    outcomes = run(model, entry([[1, 2]]), entry([[1, 2, 3]]), entry([[3, 4]]))
    assert answers(outcomes) == [[[2, 4]], [[2, 4, 6]], [[6, 8]]]
    assert sorted(calls) == [1, 2]


def test_different_signatures_never_share_a_call():
    other = Signature("other", (X,), (Y,))
    model, calls = loaded(double, Signature("serving_default", (X,), (Y,)), other)
    run(model, entry([[1, 2]]), entry([[1, 2]], signature_name="other"), entry([[1, 2]]))
    assert sorted(calls) == [1, 2]


def test_calls_keep_to_the_rows_of_the_policy():
    model, calls = loaded(batch=BatchPolicy(max_rows=3))
    outcomes = run(model, *(entry([[n, n]] * 2) for n in range(3)), entry([[9, 9]]))
    assert answers(outcomes) == [*([[2 * n, 2 * n]] * 2 for n in range(3)), [[18, 18]]]
    assert calls == [2, 2, 3]


def test_calls_keep_to_the_bytes_of_the_policy():
    model, calls = loaded(batch=BatchPolicy(max_bytes=20))
    run(model, *(entry([[n, n]]) for n in range(5)))
    assert calls == [2, 2, 1]


def test_an_entry_is_not_torn_apart_to_fill_a_call():
    model, calls = loaded(batch=BatchPolicy(max_bytes=24))
    run(model, entry([[1, 1]] * 2), entry([[2, 2]] * 2))
    assert calls == [2, 2]


def test_an_entry_larger_than_the_policy_is_run_in_parts():
    model, calls = loaded(batch=BatchPolicy(max_rows=3))
    raw = entry(pack_raw(Columnar([[n, n] for n in range(7)])), rows=7)
    outcome = run(model, raw)[0]
    assert answers([outcome]) == [[[2 * n, 2 * n] for n in range(7)]]
    assert calls == [3, 3, 1]
    assert outcome.timings.batch_rows == 1


def test_a_call_is_padded_with_rows_that_are_cut_off_again():
    model, calls = loaded(poisoned, batch=BatchPolicy(max_rows=8, pad_to=(4, 8)))
    assert answers(run(model, entry([[1, 2]]), entry([[3, 4]]))) == [[[2, 4]], [[6, 8]]]
    assert calls == [4]
    assert run(model, entry([[1, 2]] * 5))[0].timings.batch_rows == 5
    assert calls == [4, 8]
    assert answers(run(model, entry([[1, 2]] * 4))) == [[[2, 4]] * 4]
    assert calls == [4, 8, 4]


def test_a_wrong_number_of_answers_fails_every_entry_of_the_call():
    for wrong in (lambda x: {"y": x[:1]}, lambda x: {"y": np.float32(1)}, lambda x: {"y": x, "z": x[:0]}):
        model, _ = loaded(wrong)
        assert answers(run(model, entry([[1, 2]] * 2), entry([[3, 4]] * 3))) == ["wrong_answer_count"] * 2


def test_a_model_that_miscounts_only_batches_answers_each_entry_alone():
    model, calls = loaded(lambda x: {"y": x[:1] * 2})
    assert answers(run(model, entry([[1, 2]]), entry([[3, 4]]))) == [[[2, 4]], [[6, 8]]]
    assert calls == [2, 1, 1]


def test_an_answer_of_another_shape_than_declared_fails():
    model, _ = loaded(lambda x: {"y": np.repeat(x, 2, axis=1)})
    (outcome,) = run(model, entry([[1, 2]] * 3))
    assert outcome.error is not None
    assert outcome.error.code == "wrong_answer_shape"
    assert outcome.error.detail == "output y has shape (3, 4), declared is (-1, 2)"


def test_an_entry_whose_calls_are_answered_in_different_shapes_fails_alone():
    open_ended = Signature("serving_default", (X,), (TensorSpec("y", "float32", (-1, -1)),))
    calls: list[int] = []

    def widening(x: Any) -> Any:
        calls.append(len(x))
        return {"y": np.repeat(x, len(calls), axis=1)}

    model, _ = loaded(widening, open_ended, batch=BatchPolicy(max_rows=2))
    assert answers(run(model, entry([[1, 2]] * 3), entry([[3, 4]]))) == ["model_error", [[3, 3, 3, 4, 4, 4]]]
    assert calls == [2, 1, 1]


def test_a_padded_call_must_answer_the_padding_too():
    model, _ = loaded(lambda x: {"y": x[:2]}, batch=BatchPolicy(pad_to=(4,)))
    assert answers(run(model, entry([[1, 2]] * 2))) == ["wrong_answer_count"]


def test_a_row_that_is_not_finite_fails_its_entry_alone_where_the_model_says_so():
    def inverse(x: Any) -> Any:
        with np.errstate(divide="ignore"):
            return {"y": 1 / x}

    entries = entry([[1, 2]]), entry([[1, 2], [0, 1]]), entry([[4, 4]])
    strict, _ = loaded(inverse, outputs_finite=True)
    outcomes = run(strict, *entries)
    assert answers(outcomes) == [[[1, 0.5]], "output_not_finite", [[0.25, 0.25]]]
    assert outcomes[1].error is not None
    assert outcomes[1].error.detail == "output y, row 1"
    assert answers(run(loaded(inverse)[0], *entries))[1] == [[1, 0.5], [np.inf, 1]]


def test_inputs_that_are_not_finite_fail_beside_their_like():
    model, calls = loaded(inputs_finite=True)
    outcomes = run(model, entry([[1, 2]]), entry([[1, np.nan]]), entry([[3, 4]]))
    assert answers(outcomes) == [[[2, 4]], "invalid_input", [[6, 8]]]
    assert calls == [2]


def test_versions_with_other_signatures_are_each_asked_what_fits():
    wide = TensorSpec("x", "float32", (-1, 3))
    old, _ = loaded(double)
    new, _ = loaded(double, Signature("serving_default", (wide,), (wide,)), version=2)
    entries = [entry([[1, 2]], version=1), entry([[1, 2]], version=2), entry([[1, 2]], version=1)]
    outcomes = run_batch(lambda version: new if version == 2 else old, entries)
    assert answers(outcomes) == [[[2, 4]], "invalid_input", [[2, 4]]]


def test_a_text_that_is_none_fails_beside_its_like():
    text = TensorSpec("x", "string", (-1,), encoded="text")
    model, calls = loaded(lambda x: {"y": x}, Signature("serving_default", (text,), (text,)))
    texts = [entry(pack({"x": np.array([data], object)})) for data in (b"fair", b"\xff\xff\xff\xff", b"fine")]
    assert answers(run(model, *texts)) == [[b"fair"], "invalid_input", [b"fine"]]
    assert calls == [2]


def test_inputs_that_are_not_finite_fail_where_the_model_says_so():
    model, _ = loaded(inputs_finite=True)
    assert answers(run(model, entry([[1, np.nan]]), entry([[1, 2]]))) == ["invalid_input", [[2, 4]]]


@pytest.mark.parametrize("shape", [(2,), None])
@pytest.mark.parametrize("policy", [BatchPolicy(), BatchPolicy(max_rows=1, max_bytes=1, pad_to=(4,))])
def test_without_a_batch_dimension_each_entry_is_a_call_of_its_own(policy, shape):
    pair = TensorSpec("x", "float32", shape), TensorSpec("y", "float32", shape)
    model, calls = loaded(double, Signature("serving_default", pair[:1], pair[1:]), batch=policy)
    entries = [entry(pack({"x": np.array([n, n], np.float32)})) for n in range(3)]
    assert answers(run(model, *entries)) == [[0, 0], [2, 2], [4, 4]]
    assert len(calls) == 3


def test_only_the_outputs_asked_for_are_packed():
    model, _ = loaded(
        lambda x: {"y": x, "z": x},
        Signature("serving_default", (X,), (Y, TensorSpec("z", "float32", (-1, 2)))),
    )
    whole, some = run(model, entry([[1, 2]]), entry([[1, 2]], outputs=("z",)))
    assert list(unpack(whole.payload or b"")) == ["y", "z"]
    assert list(unpack(some.payload or b"")) == ["z"]


def test_an_answer_that_is_no_tensor_is_an_error_of_the_model():
    model, _ = loaded(lambda x: {"y": x.astype("M8[s]")})
    assert answers(run(model, entry([[1, 2]]))) == ["model_error"]


def test_a_version_unloaded_meanwhile_is_resolved_again_unless_it_was_named():
    newest, _ = loaded(version=2)

    def resolve(version: int | None) -> LoadedModel:
        if version == 1:
            raise ModelNotFound("m, version 1, is not loaded")
        return newest

    entries = [
        entry([[1, 2]]),
        entry([[1, 2]], pinned=True),
        entry([[1, 2]], version=None),
        entry([[3, 4]], version=2),
    ]
    outcomes = run_batch(resolve, entries)
    assert answers(outcomes) == [[[2, 4]], "version_gone", [[2, 4]], [[6, 8]]]
    assert [outcome.version for outcome in outcomes] == [2, None, 2, 2]


def test_versions_never_share_a_call():
    models = {version: loaded(lambda x, v=version: {"y": x * v}, version=version) for version in (1, 2)}
    entries = [entry([[1, 1]], version=version) for version in (1, 2, 1)]
    outcomes = run_batch(lambda version: models[version or 2][0], entries)
    assert answers(outcomes) == [[[1, 1]], [[2, 2]], [[1, 1]]]
    assert [calls for _, calls in models.values()] == [[2], [1]]


def test_nothing_loaded_fails_every_entry():
    def resolve(version: int | None) -> LoadedModel:
        raise ModelNotFound("m is not loaded")

    assert answers(run_batch(resolve, [entry([[1, 2]]), entry(None)])) == ["model_not_found", "payload_gone"]


def test_several_inputs_and_strings_are_stacked_by_name():
    def label(a: Any, s: Any) -> Any:
        texts = np.empty(len(a), object)
        texts[:] = [text + b"%d" % number for text, number in zip(s, a, strict=True)]
        return {"y": texts}

    signature = Signature(
        "serving_default",
        (TensorSpec("a", "int64", (-1,)), TensorSpec("s", "string", (-1,))),
        (TensorSpec("y", "string", (-1,)),),
    )
    model, calls = loaded(label, signature)
    payloads = [pack({"s": np.array([b"n"], object), "a": np.array([n])}) for n in range(3)]
    assert answers(run(model, *map(entry, payloads))) == [[b"n0"], [b"n1"], [b"n2"]]
    assert calls == [3]


KINDS = {"good": [[1, 2]], "pair": [[3, 4], [5, 6]], "poison": [[POISON, 0]], "gone": None, "corrupt": b"?"}


@given(st.lists(st.sampled_from(sorted(KINDS)), max_size=12), st.integers(1, 5))
def test_every_entry_gets_its_own_outcome_whatever_its_neighbours(kinds, max_rows):
    model, _ = loaded(poisoned, batch=BatchPolicy(max_rows=max_rows))
    expected = {
        "good": [[2, 4]],
        "pair": [[6, 8], [10, 12]],
        "poison": "model_error",
        "gone": "payload_gone",
        "corrupt": "corrupt_payload",
    }
    assert answers(run(model, *(entry(KINDS[kind]) for kind in kinds))) == [expected[kind] for kind in kinds]
