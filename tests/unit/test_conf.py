"""Settings: where each comes from, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import override_settings

from predict_worker.conf import Config, get_config
from predict_worker.core.errors import InvalidConfig


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in Config.__dataclass_fields__:
        monkeypatch.delenv(f"PREDICT_WORKER_{name.upper()}", raising=False)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.delenv("MODEL_REPOSITORY", raising=False)
    get_config.cache_clear()
    with override_settings(PREDICT_WORKER={}):
        yield
    get_config.cache_clear()


def test_unset_settings_have_their_defaults(tmp_path: Path) -> None:
    with override_settings(BASE_DIR=tmp_path):
        assert get_config() == Config(model_repository=tmp_path / "models")


def test_environment_is_converted_to_the_fields_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICT_WORKER_MAX_WAIT_S", "2.5")
    monkeypatch.setenv("PREDICT_WORKER_BUCKETS", "4")
    monkeypatch.setenv("PREDICT_WORKER_ALLOW_ANONYMOUS", "yes")
    monkeypatch.setenv("MODEL_REPOSITORY", "/srv/models")
    monkeypatch.setenv("REDIS_URL", "unix:///run/redis.sock")
    config = get_config()
    assert (config.max_wait_s, config.buckets, config.allow_anonymous) == (2.5, 4, True)
    assert config.model_repository == Path("/srv/models")
    assert config.redis_url == "unix:///run/redis.sock"


def test_the_dict_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICT_WORKER_BUCKETS", "4")
    with override_settings(PREDICT_WORKER={"BUCKETS": 8}):
        assert get_config().buckets == 8


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICT_WORKER_BUCKETS", "")
    assert get_config().buckets == 1


def test_settings_are_read_once_and_again_after_an_override(monkeypatch: pytest.MonkeyPatch) -> None:
    first = get_config()
    monkeypatch.setenv("PREDICT_WORKER_BUCKETS", "4")
    assert get_config() is first
    with override_settings(PREDICT_WORKER={"MAX_STRIKES": 7}):
        assert (get_config().max_strikes, get_config().buckets) == (7, 4)
    assert get_config().max_strikes == 3


def test_an_unknown_key_is_refused_by_name() -> None:
    with override_settings(PREDICT_WORKER={"MAX_WAIT": 3}), pytest.raises(InvalidConfig, match="'MAX_WAIT'"):
        get_config()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("BUCKETS", 0),
        ("BUCKETS", 1.5),
        ("BUCKETS", True),
        ("MAX_WAITERS", -1),
        ("MAX_WAIT_S", float("nan")),
        ("RESULT_TTL_S", float("inf")),
        ("MAX_BODY_BYTES", "32 MiB"),
        ("LEASE_S", None),
        ("ALLOW_ANONYMOUS", "maybe"),
        ("KEY_PREFIX", "a{b}"),
        ("KEY_PREFIX", ""),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", 6379),
        ("MODEL_REPOSITORY", 5),
        ("RECORD_TTL_S", 60),
        ("REDIS_TIMEOUT_S", 0.1),
    ],
)
def test_an_impossible_value_is_refused_by_name(key: str, value: object) -> None:
    with override_settings(PREDICT_WORKER={key: value}), pytest.raises(InvalidConfig, match=key):
        get_config()


def test_a_bad_variable_is_named_as_it_is_spelled_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICT_WORKER_LEASE_S", "soon")
    with pytest.raises(InvalidConfig, match="PREDICT_WORKER_LEASE_S: expected a number, got 'soon'"):
        get_config()


def test_a_refused_redis_url_is_not_shown() -> None:
    wrong = override_settings(PREDICT_WORKER={"REDIS_URL": "http://:hunter2@host"})
    with wrong, pytest.raises(InvalidConfig) as caught:
        get_config()
    assert "hunter2" not in str(caught.value)
