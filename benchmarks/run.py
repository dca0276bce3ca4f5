"""This service beside the tutorial's way, alternating in one run: ``make bench``.

Writes ``benchmarks/results/latest.json`` and prints a table. Everything shares one machine, the client too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from . import load
from .services import ROOT, Service, await_true, running, threaded_web, tutorial_web, web, worker

RESULTS = ROOT / "benchmarks" / "results"
MANY, ALONE = 64, 1
MEMORY_AFTER = 10_000
_MODELS = """
import sys; from pathlib import Path; sys.path.insert(0, "examples/digits"); import train
folder = Path(sys.argv[1]); (folder / "models/digits").mkdir(parents=True); network = train.fit()
network.save(folder / "digits.keras"); train.export(network, folder / "models/digits/1")
"""

Pairs = Sequence[tuple[load.Image, load.Image]]
Row = dict[str, Any]


@contextmanager
def ours(folder: Path, models: Path, appendfsync: str = "everysec", children: int = 1) -> Iterator[Service]:
    commands = {"web": web("proj.asgi:application", 2), "worker": worker("proj", children)}
    environment = {
        "DJANGO_SETTINGS_MODULE": "proj.settings",
        "MODEL_REPOSITORY": str(models / "models"),
        "SECRET_KEY": "benchmark",
        "PREDICT_WORKER_ALLOW_ANONYMOUS": "1",
        "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
    }
    with running(folder, commands, environment, appendfsync, "/readyz") as service:
        yield service


@contextmanager
def naive(folder: Path, models: Path, call: str, same_server: bool = False) -> Iterator[Service]:
    """Served by gunicorn, as tutorials do, or by the server and the threads that this service has."""
    application = "benchmarks.naive.wsgi:application"
    commands = {
        "web": threaded_web(application, 2, 40) if same_server else tutorial_web(application, 2),
        "worker": worker("benchmarks.naive.celery", 2),
    }
    environment = {
        "DJANGO_SETTINGS_MODULE": "benchmarks.naive.settings",
        "CALL": call,
        "KERAS_MODEL": str(models / "digits.keras"),
        "SAVED_MODEL": str(models / "models" / "digits" / "1"),
    }
    with running(folder, commands, environment, "everysec", "/health") as service:
        yield service


def measure(service: Service, exchanges: Sequence[load.Exchange], concurrency: int, seconds: float) -> Row:
    """Rates, latencies, and the server's CPU by kind of process."""
    before = service.usage()
    row = asyncio.run(load.run(service.url, exchanges, concurrency, seconds))
    after = service.usage()
    jobs = max(row["jobs"], 1)
    row["cpu_us_per_job"] = {
        name: round((after[name].cpu_s - before[name].cpu_s) / jobs * 1e6) for name in after
    }
    if row["wrong"] or row["errors"]:
        raise SystemExit(f"wrong or failed answers: {row}")
    return row


def measure_ours(service: Service, pairs: Pairs, seconds: float) -> dict[str, Row]:
    exchanges = load.jobs_api(pairs)
    measure(service, exchanges, MANY, 2)
    return {
        "alone": measure(service, exchanges, ALONE, seconds / 2),
        "many": measure(service, exchanges, MANY, seconds),
    }


def measure_naive(service: Service, pairs: Pairs, seconds: float, patient: bool = False) -> dict[str, Row]:
    """Polls after 5 ms, then half as long again each time, at most every 100 ms. A ``patient`` client in
    the crowd begins with 50 ms and goes up to 400: fewer questions, and so the best case."""
    usual = load.submit_and_poll(pairs, 0.005, 0.1)
    crowd = load.submit_and_poll(pairs, 0.05, 0.4) if patient else usual
    measure(service, crowd, MANY, 4)
    return {
        "alone": measure(service, usual, ALONE, seconds / 2),
        "many": measure(service, crowd, MANY, seconds),
    }


def memory(service: Service, pairs: Pairs) -> Row:
    """After so many predictions: each web process, and what a further child of the worker costs."""
    exchanges, done = load.jobs_api(pairs), 0
    while done < MEMORY_AFTER:
        done += asyncio.run(load.run(service.url, exchanges, MANY, 3))["jobs"]
    children = service.children("worker")
    web_processes = service.children("web")
    return {
        "web_pss_mb": round(max(p.memory_full_info().pss for p in web_processes) / 1e6, 1),
        "worker_child_uss_mb": round(max(p.memory_full_info().uss for p in children) / 1e6, 1),
        "redis_rss_mb": round(service.usage()["redis"].uss_mb, 1),
    }


def replacement(service: Service, times: int = 5) -> Row:
    """SIGKILL of a child: until another is forked, and until a job is answered."""
    noticed, answered = [], []
    pairs = load.jobs_api(_PAIRS[:1])
    for _ in range(times):
        (victim,) = service.children("worker")
        victim.kill()
        noticed.append(await_true(partial(_replaced, service, victim.pid), 10, "a replacement"))
        row = asyncio.run(load.run(service.url, pairs, 1, 0.001))
        answered.append(noticed[-1] + row["p50_ms"] / 1000)
    return {
        "replacement_forked_s": round(statistics.median(noticed), 3),
        "replacement_ready_s": round(statistics.median(answered), 3),
    }


def _replaced(service: Service, pid: int) -> bool:
    return [child.pid for child in service.children("worker")] not in ([], [pid])


def main() -> None:
    global _PAIRS
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-s", "--seconds", type=float, default=8, help="of each measurement at 64 in flight")
    parser.add_argument("-r", "--rounds", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-c", _MODELS, name], cwd=ROOT, check=True, capture_output=True)
        _PAIRS = load.digits(folder / "models")
        rows = _rounds(folder, given.seconds, given.rounds)
        with ours(folder / "always", folder, "always") as service:
            rows["ours_always"] = [measure_ours(service, _PAIRS, given.seconds)]
        # Of two children, so that what they share with each other is not counted for a further one.
        with ours(folder / "memory", folder, children=2) as service:
            facts = memory(service, _PAIRS)
        with ours(folder / "life", folder) as service:
            facts |= replacement(service)
    result = _result(rows, facts)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(json.dumps(result, indent=1) + "\n")
    print(_table(result))


_PAIRS: Pairs = ()


def _rounds(folder: Path, seconds: float, rounds: int) -> dict[str, list[dict[str, Row]]]:
    names = ("ours", "naive_predict", "naive_traced", "naive_traced_same_server")
    rows: dict[str, list[dict[str, Row]]] = {name: [] for name in names}
    for number in range(rounds):
        with naive(folder / f"predict{number}", folder, "predict") as service:
            rows["naive_predict"].append(measure_naive(service, _PAIRS, seconds))
        with ours(folder / f"ours{number}", folder) as service:
            rows["ours"].append(measure_ours(service, _PAIRS, seconds))
        with naive(folder / f"traced{number}", folder, "traced") as service:
            rows["naive_traced"].append(measure_naive(service, _PAIRS, seconds))
        with naive(folder / f"same{number}", folder, "traced", same_server=True) as service:
            rows["naive_traced_same_server"].append(measure_naive(service, _PAIRS, seconds, patient=True))
    return rows


def _median(rows: Sequence[Mapping[str, Row]], load_name: str, figure: str) -> float:
    return round(statistics.median(row[load_name][figure] for row in rows), 2)


def _result(rows: Mapping[str, list[dict[str, Row]]], facts: Row) -> Row:
    rates = {name: _median(measured, "many", "jobs_per_s") for name, measured in rows.items()}
    cpu = [sum(row["many"]["cpu_us_per_job"].values()) / 1000 for row in rows["ours"]]
    return {
        "jobs_per_s": rates["ours"],
        "jobs_per_s_always": rates["ours_always"],
        "jobs_per_s_naive_predict": rates["naive_predict"],
        "jobs_per_s_naive_traced": rates["naive_traced"],
        "ratio_naive_predict": round(rates["ours"] / rates["naive_predict"], 1),
        "ratio_naive_traced": round(rates["ours"] / rates["naive_traced"], 1),
        "ratio_naive_traced_same_server": round(rates["ours"] / rates["naive_traced_same_server"], 1),
        "lone_p50_ms": _median(rows["ours"], "alone", "p50_ms"),
        "server_cpu_ms_per_job": round(statistics.median(cpu), 3),
        **facts,
        "rows": rows,
    }


def _table(result: Row) -> str:
    lines = [f"{'':24}{'jobs/s (64)':>14}{'p50 ms':>10}{'p99 ms':>10}{'alone p50 ms':>15}"]
    for name, rows in result["rows"].items():
        figures = [_median(rows, "many", figure) for figure in ("jobs_per_s", "p50_ms", "p99_ms")]
        alone = _median(rows, "alone", "p50_ms")
        lines.append(f"{name:24}{figures[0]:>14}{figures[1]:>10}{figures[2]:>10}{alone:>15}")
    lines += [f"{name}: {value}" for name, value in result.items() if name != "rows"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
