"""SavedModels, by TensorFlow itself: each test runs real signatures."""

import gc
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from tensorflow.core.protobuf import saved_model_pb2  # noqa: E402

from predict_worker.batch import run_batch  # noqa: E402
from predict_worker.codec import Instances, pack, pack_raw, unpack  # noqa: E402
from predict_worker.core.errors import InvalidRequest, ModelLoadError  # noqa: E402
from predict_worker.core.ports import Entry  # noqa: E402
from predict_worker.core.spec import ModelSpec, TensorSpec  # noqa: E402
from predict_worker.registry import ModelRegistry  # noqa: E402
from predict_worker.repository.artefact import Artefact  # noqa: E402
from predict_worker.repository.directory import ModelRepository  # noqa: E402
from predict_worker.repository.manifest import Manifest  # noqa: E402
from predict_worker.runtimes.base import runtime_for  # noqa: E402

FIXTURES = Path(__file__).parent.parent / "fixtures" / "tensorflow_serving"
HALF_PLUS_TWO = FIXTURES / "saved_model_half_plus_two_2_versions"

pytestmark = pytest.mark.filterwarnings("ignore")


def load(path: Path) -> Any:
    return runtime_for("saved_model").load(Artefact("saved_model", path, ""), Manifest())


@pytest.fixture(scope="module")
def half_plus_two() -> Any:
    return load(HALF_PLUS_TWO / "00000123")


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Any]:
    """Save a function of the given tensors as a signature, load it back."""

    def save(function: Callable[..., Mapping[str, Any]], *specs: Any, **more: Any) -> Any:
        module = tf.Module()
        module.f = tf.function(function, input_signature=specs, autograph=False)
        signatures = {"serving_default": module.f}
        for name, (other, other_specs) in more.items():
            setattr(module, name, tf.function(other, input_signature=other_specs, autograph=False))
            signatures[name] = getattr(module, name)
        tf.saved_model.save(module, str(tmp_path / "1"), signatures=signatures)
        return load(tmp_path / "1")

    return save


def test_a_signature_answers(half_plus_two):
    answer = half_plus_two.run("serving_default", {"x": np.array([[2.0], [3.0], [4.0]], np.float32)})
    assert answer["y"].tolist() == [[3.0], [3.5], [4.0]]


def test_signatures_are_as_tensorflow_serving_tells_them(half_plus_two):
    golden = json.loads((FIXTURES / "saved_model_half_plus_two_2_versions_metadata.json").read_text())
    expected = golden["metadata"]["signature_def"]["signature_def"]
    assert half_plus_two.signatures.keys() == expected.keys()
    dtypes = {"DT_FLOAT": "float32", "DT_STRING": "string"}
    for name, definition in expected.items():
        signature = half_plus_two.signatures[name]
        assert signature.name == name
        assert signature.method_name == definition["method_name"]
        for specs, side in ((signature.inputs, "inputs"), (signature.outputs, "outputs")):
            assert {s.name: s for s in specs} == {
                key: TensorSpec(key, dtypes[tensor["dtype"]], shape_of(tensor["tensor_shape"]))
                for key, tensor in definition[side].items()
            }
            names = {key: tensor["name"] for key, tensor in definition[side].items()}
            assert {s.name: s.graph_name for s in specs} == names


def shape_of(golden: Any) -> tuple[int, ...] | None:
    return None if golden["unknown_rank"] else tuple(int(dim["size"]) for dim in golden["dim"])


def test_a_signature_of_serialized_examples_answers(half_plus_two):
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(4.0)
    answer = half_plus_two.run("regress_x_to_y", {"inputs": np.array([example.SerializeToString()], object)})
    assert answer["outputs"].tolist() == [[4.0]]


def test_any_number_of_rows_is_taken(saved):
    model = saved(lambda x: {"y": x * 2}, tf.TensorSpec((None, 2), tf.float32, "x"))
    for rows in (1, 2, 7, 64):
        assert model.run("serving_default", {"x": np.ones((rows, 2), np.float32)})["y"].shape == (rows, 2)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int32", "uint64", "float16", "float64", "complex64"]
)
def test_every_dtype_goes_through(saved, dtype):
    model = saved(lambda x: {"y": tf.identity(x)}, tf.TensorSpec((None,), dtype, "x"))
    array = np.array([0, 1], dtype)
    answer = model.run("serving_default", {"x": array})["y"]
    assert answer.dtype == array.dtype
    assert answer.tolist() == array.tolist()
    assert model.signatures["serving_default"].inputs == (TensorSpec("x", dtype, (-1,)),)
    pack({"y": answer})


def test_bfloat16_is_float32_outside(saved):
    model = saved(lambda x: {"y": x * 2}, tf.TensorSpec((None,), tf.bfloat16, "x"))
    signature = model.signatures["serving_default"]
    assert (signature.inputs[0].dtype, signature.outputs[0].dtype) == ("float32", "float32")
    assert model.run("serving_default", {"x": np.array([1.5], np.float32)})["y"].tolist() == [3.0]


def test_strings_are_bytes(saved):
    model = saved(
        lambda s: {"joined": tf.strings.join([s, "\xff"]), "first": s[0]},
        tf.TensorSpec((None,), tf.string, "s"),
    )
    answer = model.run("serving_default", {"s": np.array([b"a\0", b""], object)})
    assert answer["joined"].tolist() == [b"a\0\xc3\xbf", b"\xc3\xbf"]
    assert answer["first"].shape == ()
    assert unpack(pack(answer))["first"].item() == b"a\0"
    assert not model.signatures["serving_default"].batched


def test_several_inputs_and_outputs_keep_their_names(saved):
    model = saved(
        lambda b, a: {"difference": a - b, "sum": a + b},
        tf.TensorSpec((None,), tf.float32, "b"),
        tf.TensorSpec((None,), tf.float32, "a"),
    )
    answer = model.run("serving_default", {"a": np.array([5], "f4"), "b": np.array([3], "f4")})
    assert (answer["difference"].tolist(), answer["sum"].tolist()) == ([2], [8])


def test_variables_live_as_long_as_the_model(tmp_path):
    module = tf.Module()
    module.weight = tf.Variable(3.0)
    spec = tf.TensorSpec((None,), tf.float32, "x")
    module.f = tf.function(lambda x: {"y": x * module.weight}, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.f)
    model = load(tmp_path / "1")
    gc.collect()
    assert model.run("serving_default", {"x": np.array([2], "f4")})["y"].tolist() == [6]


def test_a_signature_of_a_dtype_that_cannot_travel_is_left_out(saved, caplog):
    spec = tf.TensorSpec((None,), tf.float32, "x")
    model = saved(
        lambda x: {"y": x},
        spec,
        small=(lambda x: {"y": tf.cast(x, tf.dtypes.experimental.float8_e5m2)}, [spec]),
    )
    assert list(model.signatures) == ["serving_default"]
    assert "signature small is not served: y is of dtype float8_e5m2" in caplog.text


def test_a_model_without_signature_is_not_loaded(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "1"))
    with pytest.raises(ModelLoadError, match="no signature of 1/"):
        load(tmp_path / "1")


def with_optimizer_of_tensorflow_2_3(version: Path) -> None:
    """Describe an optimizer with a slot for the weight, as exports of TensorFlow 2.3 to 2.5 do: an object
    of no kind that later ones know, which is to make the slot's variable."""
    proto = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    nodes = proto.meta_graphs[0].object_graph_def.nodes
    weight = next(n for n, node in enumerate(nodes) if node.HasField("variable"))
    slot = nodes.add()
    slot.variable.CopyFrom(nodes[weight].variable)
    optimizer = nodes.add()
    optimizer.user_object.identifier = "optimizer"
    optimizer.slot_variables.add(
        original_variable_node_id=weight, slot_name="m", slot_variable_node_id=len(nodes) - 2
    )
    nodes[0].children.add(node_id=len(nodes) - 1, local_name="optimizer")
    (version / "saved_model.pb").write_bytes(proto.SerializeToString())


def weighing(version: Path) -> None:
    """y = 3 x, the weight a variable; z the place of a word in a table that is an asset."""
    vocabulary = version.with_name("words.txt")
    vocabulary.write_text("apple\npear\n")
    words = tf.lookup.TextFileInitializer(
        str(vocabulary),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    module = tf.Module()
    module.weight, module.table = tf.Variable(3.0), tf.lookup.StaticHashTable(words, -1)
    module.f = tf.function(
        lambda x, word: {"y": x * module.weight, "z": module.table.lookup(word)},
        input_signature=[tf.TensorSpec((None,), tf.float32, "x"), tf.TensorSpec((None,), tf.string, "word")],
        autograph=False,
    )
    tf.saved_model.save(module, str(version), signatures=module.f)
    vocabulary.unlink()


def test_an_export_whose_optimizer_is_no_longer_known_is_served_by_its_graph(tmp_path, caplog):
    weighing(tmp_path / "1")
    with_optimizer_of_tensorflow_2_3(tmp_path / "1")
    with pytest.raises(AttributeError, match="add_slot"):
        tf.saved_model.load(str(tmp_path / "1"))
    model = load(tmp_path / "1")
    gc.collect()
    assert list(model.signatures) == ["serving_default"]
    signature = model.signatures["serving_default"]
    assert set(signature.inputs) == {TensorSpec("x", "float32", (-1,)), TensorSpec("word", "string", (-1,))}
    assert set(signature.outputs) == {TensorSpec("y", "float32", (-1,)), TensorSpec("z", "int64", (-1,))}
    for rows in (1, 3):
        inputs = {"x": np.ones(rows, np.float32), "word": np.array([b"pear"] * rows, object)}
        answer = model.run("serving_default", inputs)
        assert (answer["y"].tolist(), answer["z"].tolist()) == ([3.0] * rows, [1] * rows)
    assert "add_slot" in caplog.text


def test_an_export_without_shapes_as_of_tensorflow_1_0_is_served(tmp_path):
    shutil.copytree(HALF_PLUS_TWO / "00000123", tmp_path / "1")
    file = tmp_path / "1" / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    (graph,) = proto.meta_graphs
    graph.graph_def.versions.producer = 21
    for node in graph.graph_def.node:
        if node.op == "Placeholder":
            node.attr["shape"].shape.Clear()
    for definition in graph.signature_def.values():
        for tensor in (*definition.inputs.values(), *definition.outputs.values()):
            tensor.ClearField("tensor_shape")
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(ValueError, match="rank"):
        tf.saved_model.load(str(tmp_path / "1"))
    model = load(tmp_path / "1")
    answer = model.run("serving_default", {"x": np.array([[2.0], [3.0]], np.float32)})
    assert answer["y"].tolist() == [[3.0], [3.5]]


def test_the_first_error_is_told_when_the_graph_does_not_load_either(tmp_path):
    weighing(tmp_path / "1")
    with_optimizer_of_tensorflow_2_3(tmp_path / "1")
    (tmp_path / "1" / "variables" / "variables.index").unlink()
    with pytest.raises(Exception, match="add_slot"):
        load(tmp_path / "1")


def test_a_repository_serves_from_disk_to_packed_answer():
    registry = ModelRegistry(ModelRepository(FIXTURES))
    registry.load(HALF_PLUS_TWO.name, 124)
    (spec,) = registry.specs()
    assert ModelSpec.from_dict(spec.to_dict()) == spec
    payload = pack_raw(Instances([[2.0], [3.0], [4.0]]))
    entry = Entry("e", "0-a", 0, 3, None, False, "serving_default", (), 1, 0.0, payload)
    outcome = run_batch(lambda version: registry.get(HALF_PLUS_TWO.name, version), [entry])[0]
    assert unpack(outcome.payload or b"")["y"].tolist() == [[3.0], [3.5], [4.0]]


def test_a_shape_that_would_abort_the_process_is_refused():
    registry = ModelRegistry(ModelRepository(FIXTURES))
    registry.load(HALF_PLUS_TWO.name, 124)
    with pytest.raises(InvalidRequest):
        registry.get(HALF_PLUS_TWO.name, None).run("serving_default", {"x": np.ones((1, 2, 2), np.float32)})
