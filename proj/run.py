"""Everything on one machine, for trying it out: ``python -m proj.run`` (``make run``).

Trains the digits model if there is none, starts Redis (unless ``REDIS_URL`` names one) and the
processes of the Procfile, and stops them all, in reverse order, as soon as one ends.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from .children import exit_code, spawn, stop
from .embedded_redis import EmbeddedRedis, RedisNotStarted
from .local import BASE_DIR, VAR, secret_key

TRAIN = [sys.executable, "examples/digits/train.py"]
MIGRATE = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
EXAMPLE, PICTURE = VAR / "digit.json", VAR / "digit.png"
# A batch at work may take as long as its model's limit.
GRACE_S = {"web": 15.0, "worker": 60.0}
Children = dict[str, subprocess.Popen[bytes]]


class Stopped(BaseException):
    """Ctrl-C or SIGTERM; as little an error as KeyboardInterrupt."""


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        return serve(environment())
    except Stopped:
        return 0
    except (RedisNotStarted, OSError) as error:
        return _fail(str(error))
    except subprocess.CalledProcessError as error:
        return _fail(f"{shlex.join(error.cmd)} failed with exit code {error.returncode}", error.returncode)


def environment() -> dict[str, str]:
    """This process's variables, and what a demonstration on one machine sets where they do not."""
    env = {"HOST": "127.0.0.1", "PORT": "8000", **os.environ}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', os.defpath)}"
    env["DJANGO_SETTINGS_MODULE"] = "proj.settings"
    env.setdefault("SECRET_KEY", secret_key())
    env.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # else it complains of missing GPUs
    if env["HOST"] in ("127.0.0.1", "localhost", "::1"):
        env.setdefault("PREDICT_WORKER_ALLOW_ANONYMOUS", "1")
    return env


def serve(env: dict[str, str]) -> int:
    """Start all, wait until one ends; returns its exit code, never 0."""
    children: Children = {}
    with ExitStack() as stack:
        stack.callback(_say, "Stopped.")
        _check_port(env)
        if not env.get("REDIS_URL"):
            embedded = stack.enter_context(EmbeddedRedis(VAR / "redis"))
            env["REDIS_URL"] = embedded.url
            if embedded.process:
                children["redis"] = embedded.process
        _ensure_model(env)
        commands = procfile()
        _start("worker", commands["worker"], env, children, stack)
        subprocess.run(MIGRATE, env=env, cwd=BASE_DIR, check=True)
        _start("web", commands["web"], env, children, stack)
        _say("Waiting for a worker to load a model ...")
        while not _ready(env) and not _ended(children):
            time.sleep(0.2)
        if not _ended(children):
            _greet(env)
        while not (ended := _ended(children)):
            time.sleep(0.2)
        code = exit_code(children[ended])
        return _fail(f"{ended} ended unexpectedly, with exit code {code}", code or 1)


def procfile(path: Path = BASE_DIR / "Procfile") -> dict[str, str]:
    """Shell command by process name."""
    lines = (line.partition(":") for line in path.read_text().splitlines() if line.strip())
    return {name.strip(): command.strip() for name, _, command in lines}


def _start(name: str, command: str, env: dict[str, str], children: Children, stack: ExitStack) -> None:
    # A worker whose Redis goes at the same moment has nothing to drain into; its jobs are in the store.
    end = signal.SIGKILL if name == "worker" else signal.SIGTERM
    child = spawn(["/bin/sh", "-c", f"exec {command}"], env=env, cwd=BASE_DIR, on_parent_death=end)
    children[name] = child
    stack.callback(stop, child, GRACE_S[name])


def _ensure_model(env: dict[str, str]) -> None:
    repository = Path(env.get("MODEL_REPOSITORY") or BASE_DIR / "models")
    if not any(repository.glob("[!.]*/[!.]*")):
        _say("Training the digits model, once ...")
        VAR.mkdir(exist_ok=True)
        with (VAR / "train.log").open("wb") as log:
            subprocess.run(TRAIN, env=env, cwd=BASE_DIR, stderr=log, check=True)
    if (repository / "digits").is_dir() and not (EXAMPLE.exists() and PICTURE.exists()):
        subprocess.run([*TRAIN, "--example", str(VAR)], env=env, cwd=BASE_DIR, check=True)


def _address(env: dict[str, str]) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(env["HOST"], env["HOST"])  # noqa: S104 - compared, not bound
    return f"http://{f'[{host}]' if ':' in host else host}:{env['PORT']}"


def _check_port(env: dict[str, str]) -> None:
    family, kind, _, _, address = socket.getaddrinfo(env["HOST"], env["PORT"], type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            where = f"{env['HOST']}:{env['PORT']}"
            raise OSError(f"cannot listen on {where} ({error.strerror}): set PORT") from None


def _ready(env: dict[str, str]) -> bool:
    try:
        with urllib.request.urlopen(f"{_address(env)}/readyz", timeout=2) as answer:  # noqa: S310 - http, see above
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _greet(env: dict[str, str]) -> None:
    _say(f"Ready at {_address(env)} (Ctrl-C stops it all).")
    if EXAMPLE.exists():
        digit = json.loads(EXAMPLE.read_bytes())["metadata"]["digit"]
        _say(
            f"Ask it about an image of a {digit} (the largest probability should be at index {digit}):\n"
            "  curl -s -H 'Content-Type: application/json' -H 'Prefer: wait=5' "
            f"--data @{EXAMPLE.relative_to(BASE_DIR)} {_address(env)}/api/jobs\n"
            "The same as a picture, of any size; or send one that you have drawn:\n"
            "  curl -s -H 'Content-Type: image/png' -H 'Prefer: wait=5' "
            f"--data-binary @{PICTURE.relative_to(BASE_DIR)} '{_address(env)}/api/jobs?model=digits'"
        )


def _ended(children: Children) -> str | None:
    return next((name for name, child in children.items() if child.poll() is not None), None)


def _stop(number: int, frame: FrameType | None) -> None:
    for further in (signal.SIGINT, signal.SIGTERM):
        signal.signal(further, signal.SIG_IGN)  # every step of stopping is bounded in time
    _say("Stopping web, worker, Redis ...")
    raise Stopped


def _say(text: str) -> None:
    print(text, flush=True)


def _fail(text: str, code: int = 1) -> int:
    print(f"make run: {text}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
