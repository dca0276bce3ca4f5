"""``manage.py models``: what models there are, whether they load, and what their queues do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...conf import get_config
from ...connect import service
from ...core.errors import PredictionError
from ...core.ports import Mode
from ...repository.directory import ModelRepository
from ...service import ModelView
from ..subcommands import subcommands
from ..verifying import verified

COLUMNS = "{:<24} {:<9} {:<12} {:<16} {:<12} {:>8} {:>8}  {}"
HEAD = COLUMNS.format("MODEL", "STATE", "VERSIONS", "LABELS", "READY", "WAITING", "RUNNING", "ERROR")
MODES = {"pause": Mode.PAUSED, "resume": Mode.SERVING, "drain": Mode.DRAINING}
TOLD = {
    "pause": "Accept jobs, run none.",
    "resume": "Accept jobs and run them.",
    "drain": "Accept no more jobs, run what is queued.",
    "purge": "Cancel all jobs that no worker is at work on.",
    "verify": "Load versions as a worker would, run their warm-up files, and tell what was found.",
    "warm": "The same, and tell only how long it took.",
}


class Command(BaseCommand):
    help = "List, show, label and verify models; pause, resume, drain and purge their queues."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        command = subcommands(parser)
        command("list", "The models that workers know, and their queues.")
        command("show", "One model.").add_argument("model", metavar="MODEL")
        label = command("label", "Move a label to a version that ready workers hold, or take it away.")
        for field in ("model", "label"):
            label.add_argument(field, metavar=field.upper())
        label.add_argument("version", metavar="VERSION", type=int, nargs="?")
        label.add_argument("--clear", action="store_true", help="as model.toml has it again")
        for name in (*MODES, "purge"):
            command(name, TOLD[name]).add_argument("models", nargs="+", metavar="MODEL")
        for name in ("verify", "warm"):
            verify = command(name, TOLD[name])
            verify.add_argument("models", nargs="*", metavar="MODEL", help="default: all of the repository")
            verify.add_argument("--version", type=int, help="default: all that are to be served")

    def handle(self, *_: Any, command: str, **options: Any) -> None:
        try:
            if command in MODES:
                self._set_mode(MODES[command], **options)
            elif command in ("verify", "warm"):
                self._verify(brief=command == "warm", **options)
            else:
                getattr(self, f"_{command}")(**options)
        except PredictionError as error:
            raise CommandError(f"{error.title}: {error}") from error

    # ------------------------------------------------------------ as workers have published them

    def _list(self, **options: Any) -> None:
        models = [_facts(model) for model in service().models()]
        if options["json"]:
            self.stdout.write(json.dumps(models))
            return
        self.stdout.write(HEAD)
        for model in models:
            columns = (_listed(model["versions"]), _paired(model["labels"]), _paired(model["ready"]))
            queue = (model["waiting"], model["running"])
            self.stdout.write(
                COLUMNS.format(model["name"], model["state"], *columns, *queue, model["error"]).rstrip()
            )

    def _show(self, model: str, **options: Any) -> None:
        view = service().model(model)
        facts = {
            **_facts(view),
            "specs": [spec.to_dict() for _, spec in sorted(view.specs.items())],
            "workers": list(_statuses(view)),
        }
        if options["json"]:
            self.stdout.write(json.dumps(facts))
            return
        for name in ("name", "state", "waiting", "running", "error"):
            self.stdout.write(f"{name:<12} {facts[name]}".rstrip())
        for name, shown in (("versions", _listed(facts["versions"])), ("labels", _paired(facts["labels"]))):
            self.stdout.write(f"{name:<12} {shown}".rstrip())
        for spec in facts["specs"]:
            self._write_spec(spec)
        for status in facts["workers"]:
            told = "{consumer} {worker}: version {version} {state}  {error}".format(**status)
            self.stdout.write(f"{'worker':<12} {told}".rstrip())

    def _write_spec(self, spec: dict[str, Any]) -> None:
        self.stdout.write(f"{'version':<12} {spec['version']} {spec['artefact']} {spec['digest']}")
        for signature in spec["signatures"]:
            takes, gives = (_listed(map(_tensor, signature[side])) for side in ("inputs", "outputs"))
            self.stdout.write(f"  {signature['name']}: {takes} -> {gives}")

    def _label(self, model: str, label: str, version: int | None, clear: bool, **options: Any) -> None:
        if clear == (version is not None):
            raise CommandError("label: expected VERSION or --clear, not both")
        if version is None:
            view = service().clear_label(model, label)
        else:
            view = service().move_label(model, label, version)
        labels = dict(view.entry.labels)
        self.stdout.write(json.dumps(labels) if options["json"] else f"{model} {_paired(labels)}".rstrip())

    # ------------------------------------------------------------ their queues

    def _set_mode(self, mode: Mode, models: Sequence[str], **options: Any) -> None:
        for model in models:
            service().model(model)  # a name that is not known changes none of them
        for model in models:
            service().queues.set_mode(model, mode)
        self._tell(dict.fromkeys(models, mode.value), options["json"])

    def _purge(self, models: Sequence[str], **options: Any) -> None:
        for model in models:
            service().model(model)
        counts = {model: service().queues.purge(model) for model in models}
        self._tell(
            {m: c if options["json"] else f"{c} jobs cancelled" for m, c in counts.items()}, options["json"]
        )

    def _tell(self, told: dict[str, Any], as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(told))
            return
        for name, what in told.items():
            self.stdout.write(f"{name} {what}")

    # ------------------------------------------------------------ what lies in the repository

    def _verify(self, brief: bool, models: Sequence[str], version: int | None, **options: Any) -> None:
        repository = ModelRepository(get_config().model_repository)
        chosen = [repository.model(name) for name in models] if models else repository.scan()
        if version is not None and len(chosen) != 1:
            raise CommandError(f"--version: expected one model, got {len(chosen)}")
        results = [result for model in chosen for result in verified(model, version)]
        if options["json"]:
            self.stdout.write(json.dumps(results))
        else:
            for result in results:
                self._write_verified(result, brief)
        if failed := [result for result in results if "error" in result]:
            raise CommandError(f"{len(failed)} of {len(results)} failed")

    def _write_verified(self, result: dict[str, Any], brief: bool) -> None:
        name = (
            result["model"]
            if result["version"] is None
            else f"{result['model']}, version {result['version']}"
        )
        if "error" in result:
            self.stdout.write(f"{name}: FAILED: {result['error']}")
            return
        self.stdout.write(f"{name}: loaded and warm in {result['load_ms']:.0f} ms")
        if brief:
            return
        self._write_spec(result["spec"])
        for example in result["examples"]:
            self.stdout.write(f"  {example['file']}: {example['ms']} ms")


def _facts(model: ModelView) -> dict[str, Any]:
    stats = service().queues.stats(model.entry.name)
    return {
        "name": model.entry.name,
        "state": stats.mode.value,
        "versions": [*model.entry.versions],
        "labels": dict(model.entry.labels),
        "ready": dict(sorted(model.ready.items())),
        "waiting": stats.waiting,
        "running": stats.running,
        "error": model.entry.error,
    }


def _statuses(model: ModelView) -> Iterator[dict[str, Any]]:
    for worker in model.workers:
        for status in worker.models:
            if status.model == model.entry.name:
                told = {"version": status.version, "state": status.state, "error": status.error}
                yield {"consumer": worker.consumer, "worker": worker.state, **told, "load_ms": status.load_ms}


def _listed(values: Any) -> str:
    return ", ".join(map(str, values))


def _paired(values: dict[Any, Any]) -> str:
    return _listed(f"{name}:{value}" for name, value in values.items())


def _tensor(tensor: dict[str, Any]) -> str:
    shape = "?" if tensor["shape"] is None else list(tensor["shape"])
    return f"{tensor['name']} {tensor['dtype']} {shape}" + (
        f" ({tensor['encoded']})" if tensor["encoded"] else ""
    )
