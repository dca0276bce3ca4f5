"""Which models a node serves."""

from __future__ import annotations

from pathlib import Path

from predict_worker.node.served import Served
from predict_worker.repository.directory import ModelRepository


def add(repository: Path, name: str) -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "1" / "saved_model.pb").touch()


def test_where_all_are_served_a_new_model_is_too(tmp_path: Path) -> None:
    add(tmp_path, "first")
    served = Served(ModelRepository(tmp_path), None)
    served.scan()
    assert served.serves("first")
    assert not served.serves("second")
    add(tmp_path, "second")
    assert served.serves("second")
    served.scan()
    assert served.names == ("first", "second")


def test_where_some_are_named_no_other_is_served(tmp_path: Path) -> None:
    add(tmp_path, "first")
    add(tmp_path, "second")
    served = Served(ModelRepository(tmp_path), ["second"])
    assert served.serves("second")
    assert not served.serves("first")
