"""Projects that are not ours: they install the wheel, add a few lines, predict and compose."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.system.stack import ROOT, Stack, lines, until

FOREIGN = ROOT / "tests" / "foreign"
SERVED = "busy, half, lost, priced, single"
UNFIT = "Inputs do not fit the model (invalid_input): "
PACKAGES = {"api", "predict_worker", "predict_worker_api"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build leaves its traces in the tree."""
    source = tmp_path_factory.mktemp("source")
    shutil.copytree(
        ROOT,
        source,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns(".*", "var", "models", "__pycache__", "build"),
    )
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(source / "dist"), str(source))
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has the wheel, and the dependencies of the one that runs the tests."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, symlinks=True)
    interpreter = home / "bin" / "python"
    pip("--python", str(interpreter), "install", "--no-deps", "--no-index", str(wheel))
    # A directory in a .pth file is searched, its own .pth files (an editable install) are not read.
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return str(interpreter)


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def models(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two that ask for transforms: ``priced`` for the shop's own, ``lost`` for one that nobody has."""
    root = Path(shutil.copytree(models, tmp_path_factory.mktemp("shop") / "models"))
    manifests = {
        "priced": "[transforms]\npre = 'prices'\npost = 'total'\n[prices]\ncurrency = 'SEK'\n",
        "lost": "[transforms]\npre = 'nobodys'\n",
    }
    for name, manifest in manifests.items():
        shutil.copytree(models / "half", root / name)
        (root / name / "model.toml").write_text(manifest)
    return root


class Shop(Stack):
    project = "shop"
    interface = "wsgi"

    def __init__(self, folder: Path, models: Path, home: Path, python: str) -> None:
        self.home, self.python = home, python
        # What the project's settings say wins over these.
        wrong = {"MODEL_REPOSITORY": "/nowhere", "PREDICT_WORKER_ALLOW_ANONYMOUS": "0"}
        super().__init__(folder, models, PYTHONPATH="", SHOP_MODELS=str(models), **wrong)

    def manage(self, *arguments: str) -> str:
        return said(self.python, "manage.py", *arguments, cwd=self.home, env=self.environment)


def said(*command: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def stack(models: Path, python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The shop with one worker of one child."""
    folder = tmp_path_factory.mktemp("shop")
    home = Path(shutil.copytree(FOREIGN / "shop", folder / "project"))
    shop = Shop(folder, models, home, python)
    try:
        shop.start(children=1)
        yield shop
    finally:
        shop.close()


def test_wheel_holds_our_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == PACKAGES
    assert {"predict_worker/py.typed", "predict_worker/store/lua/step.lua"} <= set(names)


def test_shop_passes_djangos_checks(stack: Shop) -> None:
    assert "no issues" in stack.manage("check", "--fail-level", "WARNING")


def test_shop_gets_the_migrations_and_the_command_of_keys(stack: Shop) -> None:
    assert "No changes" in stack.manage("makemigrations", "--check", "--dry-run")
    plan = stack.manage("migrate", "--plan")
    assert "prediction_api.0001_initial" in plan
    assert "create" in stack.manage("keys", "--help")


def test_shop_uses_the_wheel_and_not_this_tree(stack: Shop) -> None:
    show = "import api, predict_worker; print(api.__file__, predict_worker.__file__)"
    assert str(ROOT) not in stack.manage("shell", "-v0", "-c", show)


def test_shop_answers_a_prediction_under_its_own_settings(stack: Shop) -> None:
    response = stack.predict("half", [[2.0, 3.0]], wait_s=20)
    assert response.status_code == 200, lines(response)
    assert response.json()["outputs"] == {"y": [[3.0, 3.5]]}
    assert stack.redis.client().keys("shop:*")
    assert not stack.redis.client().keys("pw:*")


def test_paths_of_the_shop_stay_its_own(stack: Shop) -> None:
    assert stack.http.get("/api/orders").json() == {"orders": []}
    assert stack.http.get("/api/jobs/nothing").json()["code"] == "job_not_found"


def test_canvases_are_answered_by_a_single_child(stack: Shop) -> None:
    answers = json.loads(stack.manage("compose"))
    assert answers == {
        "alone": {"y": [[3.0, 3.5]]},
        "npy": {"y": [[3.0, 3.5]]},
        "then": "answered [[3.0, 3.5]]",
        "between": "answered [[3.0, 3.0]]",
        "group": [{"y": [[n / 2 + 2, 2.0]]} for n in range(4)],
        "chord": 19.0,
        "rows": 5000.0,
        "priced": {"total": [6.5]},
        "foreign": [
            "PredictionFailed",
            UNFIT + "inputs.prices: expected an amount in SEK, got '3.00 EUR'",
        ],
        "unfit": ["InvalidRequest", "inputs[0]: expected a list of 2, got a list of 1"],
        "version": ["ModelNotFound", "half, version 9, is not loaded"],
        "astray": ["ModelNotFound", f"this worker serves {SERVED}; send ghost to model.ghost"],
        "tensorflow": False,
    }


def test_transforms_of_the_shop_are_found_by_its_worker_and_not_by_its_web(stack: Shop) -> None:
    job = stack.predict("priced", [["2.00 SEK", "3.00 SEK"]], wait_s=20).json()
    assert job["outputs"] == {"total": [6.5]}
    refused = stack.predict("priced", [[2.0, 3.0]])
    assert (refused.status_code, refused.json()["field"]) == (400, "inputs[0][0]")
    (version,) = stack.http.get("/api/models/priced").json()["versions"]
    assert version["signatures"]["serving_default"] == {
        "inputs": {"prices": {"dtype": "string", "shape": [-1, 2], "encoded": None}},
        "outputs": {"total": {"dtype": "float32", "shape": [-1], "encoded": None}},
    }
    assert "transforms of the shop are imported" in stack.log("worker")
    assert "transforms of the shop are imported" not in stack.log("web")


def test_model_whose_transform_nobody_has_says_so_and_leaves_the_others(stack: Shop) -> None:
    (version,) = stack.http.get("/api/models/lost").json()["versions"]
    (status,) = version["workers"]
    assert status["state"] == "END"
    assert (
        "no pre-transform 'nobodys' is registered; there are decode_image, tokenise, prices"
        in status["error"]
    )
    job = stack.predict("lost", [[2.0, 3.0]], wait_s=20).json()
    assert (job["state"], job["error"]["code"]) == ("failed", "model_unavailable")


def test_worker_of_the_shops_own_queues_is_left_alone(stack: Shop) -> None:
    pids = [child["pid"] for child in stack.workers()]
    worker = stack.worker(queues="emails", name="emails", pool="threads")
    until(lambda: "ready." in stack.log("emails"), what="the worker of emails")
    assert [child["pid"] for child in stack.workers()] == pids
    assert not any("tensorflow" in m.path for m in psutil.Process(worker.pid).memory_maps())
    assert stack.end(worker) == 0


def test_project_with_an_api_of_its_own_takes_ours_by_its_second_name(python: str, tmp_path: Path) -> None:
    home = Path(shutil.copytree(FOREIGN / "kiosk", tmp_path / "kiosk"))
    ask = "; ".join(
        (
            "from django.test import Client",
            "print([Client().get(path).json() for path in ('/healthz', '/api/orders')])",
        )
    )
    django = (python, "-m", "django")
    env = {"DJANGO_SETTINGS_MODULE": "kiosk.settings"}
    assert "no issues" in said(*django, "check", "--fail-level", "WARNING", cwd=home, env=env)
    assert "No changes" in said(*django, "makemigrations", "--check", "--dry-run", cwd=home, env=env)
    assert "create" in said(*django, "keys", "--help", cwd=home, env=env)
    assert "[{'status': 'ok'}, {'orders': []}]" in said(*django, "shell", "-c", ask, cwd=home, env=env)
