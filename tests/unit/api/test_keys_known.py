"""What a process remembers of keys."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from api.keys.known import TTL_S, Key, KnownKeys
from api.keys.scopes import USERS


def key(name: str) -> Key:
    return Key(name, f"key:{name}", USERS)


class Table:
    """Keys that begin with ``k`` exist; others are guesses."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.now = 0.0

    def find(self, digest: str) -> Key | None:
        self.asked.append(digest)
        return key(digest) if digest.startswith("k") else None

    def known(self, most: int) -> KnownKeys:
        return KnownKeys(self.find, lambda: self.now, most)


def test_a_key_is_asked_for_once_in_its_time() -> None:
    table = Table()
    known = table.known(10)
    assert [known.get("k1"), known.get("k1"), known.get("guess"), known.get("guess")] == [
        *(key("k1"), key("k1")),
        *(None, None),
    ]
    assert table.asked == ["k1", "guess"]
    table.now = TTL_S
    known.get("k1")
    assert table.asked == ["k1", "guess", "k1"]


def test_guesses_drive_no_key_out() -> None:
    table = Table()
    known = table.known(10)
    for name in ("k1", "k2", *(f"guess{n}" for n in range(100))):
        known.get(name)
    known.get("k1")
    known.get("k2")
    assert len(table.asked) == 102
    assert len(known._held) <= 10


def test_no_more_are_remembered_than_it_may() -> None:
    table = Table()
    known = table.known(10)
    for number in range(100):
        assert known.get(f"k{number}") == key(f"k{number}")
        assert len(known._held) <= 10


def test_a_crowd_asks_once() -> None:
    table, together, second = Table(), threading.Barrier(8), threading.Barrier(2)

    def find(digest: str) -> Key | None:
        with suppress(threading.BrokenBarrierError):
            second.wait(0.2)  # for another that asks meanwhile: there is none
        return table.find(digest)

    known = KnownKeys(find)

    def get() -> Key | None:
        together.wait(10)
        return known.get("k1")

    with ThreadPoolExecutor(8) as crowd:
        found = [one.result(10) for one in [crowd.submit(get) for _ in range(8)]]
    assert found == [key("k1")] * 8
    assert table.asked == ["k1"]


def test_models_are_granted_by_pattern() -> None:
    some = Key("x", "key:x", USERS, ("digits", "p?ir-*"))
    assert [some.allows(m) for m in ("digits", "digits2", "pair-1", "pair")] == [True, False, True, False]
    assert key("all").allows("anything")
