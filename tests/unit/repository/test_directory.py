"""The model repository on disk."""

import os
from pathlib import Path

import pytest

from predict_worker.core.errors import InvalidRepository, ModelNotFound
from predict_worker.core.ports import ModelEntry
from predict_worker.repository.directory import ModelRepository


def put(root: Path, name: str, content: str = "x") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def scan(root: Path):
    return {model.name: model for model in ModelRepository(root).scan()}


def artefact(root: Path, version: int = 1):
    return ModelRepository(root).artefact("m", version)


def test_versions_are_directories_with_decimal_names(models):
    for name in ("00000123", "4", "notes", ".5", "-1", "٣", "1e3"):
        put(models, f"m/{name}/model.keras")
    put(models, "m/7")
    put(models, "README.md")
    put(models, ".git/1/model.keras")
    found = scan(models)
    assert list(found) == ["m"]
    assert sorted(found["m"].versions) == [4, 123]
    assert found["m"].wanted == (123,)


def test_two_spellings_of_one_version_are_an_error(models):
    put(models, "m/1/model.keras")
    put(models, "m/01/model.keras")
    assert scan(models)["m"].error == "01/ and 1/ are one version"


def test_a_broken_model_hides_no_other(models):
    put(models, "bad/model.toml", "batch = ")
    put(models, "bad/1/model.keras")
    put(models, "empty/notes.txt")
    put(models, "not a name/1/model.keras")
    put(models, "latin/1/model.keras")
    (models / "latin/model.toml").write_bytes(b"artefact = '\xff'")
    put(models, "huge/" + "9" * 19 + "/model.keras")
    put(models, "good/1/model.keras")
    found = scan(models)
    assert {name: bool(model.error) for name, model in found.items()} == {
        "bad": True,
        "empty": True,
        "good": False,
        "huge": True,
        "latin": True,
        "not a name": True,
    }
    assert not found["bad"].versions


def test_a_broken_version_hides_no_other(models):
    put(models, "m/1/model.keras")
    put(models, "m/2/a.keras")
    put(models, "m/2/b.keras")
    (models / "m/3").mkdir()
    found = scan(models)["m"]
    assert found.wanted == (1,)
    assert found.artefact_kinds == {"keras"}
    assert found.refused == {2: "2/ holds several: a.keras, b.keras", 3: "no artefact in 3/"}
    with pytest.raises(ModelNotFound, match="holds several"):
        artefact(models, 2)


def test_a_missing_repository_is_named(tmp_path):
    with pytest.raises(InvalidRepository, match="nowhere"):
        ModelRepository(tmp_path / "nowhere").scan()


def test_the_entry_for_the_catalogue(models):
    labels = "[labels]\nstable = 1\nnext = 4\n[canary]\nnext = 0.5"
    put(models, "m/model.toml", f"queue_max_jobs = 5\n[versions]\ncount = 2\n{labels}")
    for version in (1, 2, 3):
        put(models, f"m/{version}/model.keras")
    found = scan(models)["m"]
    assert found.entry == ModelEntry("m", (2, 3), (("stable", 1),), 5, "", canary=(("next", 0.5),))
    assert found.labelled == (1,), "a label that leads nowhere is none"


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (("saved_model.pb", "model.keras", "model.onnx"), ("saved_model", "1")),
        (("saved_model.pbtxt",), ("saved_model", "1")),
        (("model.keras", "model.h5"), ("keras", "model.keras")),
        (("digits.keras", "notes.txt"), ("keras", "digits.keras")),
        (("model.keras", "other.keras"), ("keras", "model.keras")),
        (("model.h5", "model.tflite", "model.onnx"), ("h5", "model.h5")),
        (("model.tflite", "model.onnx"), ("onnx", "model.onnx")),
        (("model.tflite",), ("tflite", "model.tflite")),
        (("model.py", "labels.py"), ("python", "model.py")),
        (("model.tflite", "model.py"), ("python", "model.py")),
    ],
)
def test_the_artefact_is_chosen_in_order_and_tflite_only_alone(models, files, chosen):
    for name in files:
        put(models, f"m/1/{name}")
    found = artefact(models)
    assert (found.kind, found.path.name) == chosen


def test_the_manifest_chooses_the_artefact(models):
    put(models, "m/model.toml", 'artefact = "tflite"')
    put(models, "m/1/saved_model.pb")
    put(models, "m/1/small.tflite")
    put(models, "m/2/saved_model.pb")
    assert artefact(models).path.name == "small.tflite"
    assert scan(models)["m"].refused == {2: "no artefact of kind tflite in 2/"}


def test_the_digest_is_of_the_artefacts_files_alone(models):
    for name in ("saved_model.pb", "variables/variables.index", "assets/foo.txt"):
        put(models, f"m/1/{name}")
    before = artefact(models).digest
    put(models, "m/1/model.tflite")
    put(models, "m/1/.DS_Store")
    put(models, "m/model.toml", "timeout_s = 3")
    assert artefact(models).digest == before
    assert before.startswith("sha256:")
    put(models, "m/1/variables/variables.index", "y")
    assert artefact(models).digest != before


def test_the_digest_does_not_depend_on_the_versions_name(models):
    for version in ("1", "02"):
        put(models, f"m/{version}/saved_model.pb")
        put(models, f"m/{version}/assets/foo.txt")
    put(models, "m/model.toml", '[versions]\npolicy = "all"')
    assert artefact(models, 1).digest == artefact(models, 2).digest


@pytest.mark.parametrize("name", ["model.py", "model.onnx"])
def test_the_digest_covers_what_such_a_model_keeps_beside_it(models, name):
    put(models, f"m/1/{name}")
    put(models, "m/1/labels/names.txt", "a")
    before = artefact(models).digest
    put(models, "m/1/__pycache__/model.pyc")
    assert artefact(models).digest == before
    put(models, "m/1/labels/names.txt", "b")
    assert artefact(models).digest != before


def test_an_artefact_that_has_gone_is_named(models):
    path = put(models, "m/1/model.keras")
    repository = ModelRepository(models)
    repository.scan()
    path.unlink()
    with pytest.raises(InvalidRepository):
        repository.artefact("m", 1)
    with pytest.raises(ModelNotFound):
        repository.artefact("m", 2)
    with pytest.raises(ModelNotFound):
        repository.artefact("other", 1)


def test_a_version_copied_in_later_is_taken_when_two_scans_agree(models):
    put(models, "m/1/model.keras")
    repository = ModelRepository(models)

    def wanted():
        return repository.scan()[0].wanted

    assert wanted() == (1,)
    path = put(models, "m/2/model.keras", "half")
    assert wanted() == (1,)
    path.write_text("more than half")
    assert wanted() == (1,)
    os.utime(path, ns=(1, 1))
    assert wanted() == (1,)
    assert wanted() == (2,)


def test_a_version_taken_stays_though_its_files_change(models):
    path = put(models, "m/1/model.keras")
    repository = ModelRepository(models)
    assert repository.scan()[0].wanted == (1,)
    path.write_text("another")
    assert repository.scan()[0].wanted == (1,)
    path.unlink()
    path.parent.rmdir()
    assert repository.scan()[0].wanted == ()
