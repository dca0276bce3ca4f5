"""Rules of the house that no linter knows: who may import, read or spell what."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import predict_worker.core
from predict_worker.store import keys

ROOT = Path(predict_worker.core.__file__).parents[2]
KINDS = "|".join((*keys._KINDS, "reply", "catalogue", "sweeper"))
SPELLED_KEY = re.compile(rf"""['":](?:{KINDS}):(?=[^\s'"])|\.\.\s*['"]:""")
READS_SETTINGS = re.compile(
    r"""\bdjango\.conf\b(?!:)|\bgetenv\(|\benviron\.(?!setdefault\()|\benviron\[[^\]]*\](?!\s*=[^=])""",
)
SUBMITS = re.compile(r"service\(\)\.submit\b")


def sources(*folders: str, suffixes: tuple[str, ...] = (".py",), but: tuple[str, ...] = ()) -> Iterator[Path]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and path.relative_to(ROOT).as_posix() not in but:
                yield path


def imports(path: Path) -> Iterator[str]:
    """Names of the packages that a file imports absolutely."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or ""


def offences(pattern: re.Pattern[str], paths: Iterator[Path]) -> list[str]:
    lines = (
        (path, number, line) for path in paths for number, line in enumerate(path.read_text().splitlines(), 1)
    )
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path, number, line in lines
        if pattern.search(line)
    ]


def test_core_imports_the_standard_library_alone() -> None:
    foreign = {
        (path.name, name)
        for path in sources("predict_worker/core")
        for name in imports(path)
        if name.partition(".")[0] not in sys.stdlib_module_names
    }
    assert not foreign


@pytest.mark.parametrize("package", ["predict_worker", "api"])
def test_a_package_imports_itself_relatively(package: str) -> None:
    absolute = {
        path.name for path in sources(package) for name in imports(path) if name.partition(".")[0] == package
    }
    assert not absolute


def test_only_conf_reads_settings_or_the_environment() -> None:
    assert not offences(READS_SETTINGS, sources("predict_worker", "api", but=("predict_worker/conf.py",)))


def test_only_keys_spells_a_redis_key() -> None:
    others = sources("predict_worker", "api", suffixes=(".py", ".lua"), but=("predict_worker/store/keys.py",))
    assert not offences(SPELLED_KEY, others)


def test_every_dialect_submits_through_admission() -> None:
    assert not offences(SUBMITS, sources("api", but=("api/admission.py",)))


@pytest.mark.parametrize(
    ("pattern", "offending", "innocent"),
    [
        (SUBMITS, "answer = service().submit(asked)", "answer = submit(request, asked)"),
        (SPELLED_KEY, 'key = f"{base}:job:{job_id}"', 'raise InvalidRequest("model: no such name")'),
        (SPELLED_KEY, "local key = base .. ':' .. kind", "local key = job_key(id)"),
        (READS_SETTINGS, "from django.conf import settings", '"django.conf:settings"'),
        (READS_SETTINGS, 'level = os.environ["LEVEL"]', 'os.environ["THREADS"] = "1"'),
        (READS_SETTINGS, 'os.environ.get("LEVEL")', 'os.environ.setdefault("THREADS", "1")'),
    ],
)
def test_the_patterns_tell_an_offence_from_its_likeness(
    pattern: re.Pattern[str], offending: str, innocent: str
) -> None:
    assert pattern.search(offending)
    assert not pattern.search(innocent)
