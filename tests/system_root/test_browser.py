"""What a browser makes of the service: its own ``EventSource``, and the page of the API's description."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.models import busy, make_models
from tests.system.stack import Stack, until
from tests.system_root.browser import PROGRAM, Browser

pytestmark = pytest.mark.needs(PROGRAM)

FOLLOW = """
window.heard = [];
window.source = new EventSource(%s);
source.addEventListener("state", event => heard.push([event.lastEventId, JSON.parse(event.data).state]));
"""
CLOSED = "source.readyState === EventSource.CLOSED"


class Served(Stack):
    """Its web can be replaced."""

    def __init__(self, folder: Path, models: Path, interface: str) -> None:
        super().__init__(folder, models)
        self._interface = interface

    def serve(self) -> None:
        self._web = self.web(self._interface)

    def replace_web(self) -> None:
        for process in self.children(self._web):
            process.kill()
        self._web.kill()
        self._web.wait()
        self.serve()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module", params=["wsgi", "asginl"])
def stack(
    request: pytest.FixtureRequest, models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("stack"), models, request.param)
    try:
        made.redis.start()
        made.serve()
        made.worker()
        made.await_ready()
        yield made
    finally:
        made.close()


@pytest.fixture
def page(stack: Served, tmp_path: Path) -> Iterator[Browser]:
    """One of the service's own: what runs in it is of the same origin."""
    browser = Browser(tmp_path)
    try:
        browser.open(f"http://127.0.0.1:{stack.port}/api/docs")
        yield browser
    finally:
        browser.close()


def follow(page: Browser, stack: Served, seconds: float) -> str:
    """The path of the events of a job that takes so long."""
    path = str(stack.predict("busy", busy(seconds)).json()["urls"]["events"])
    page.run(FOLLOW % json.dumps(path))
    return path


def states(page: Browser) -> list[str]:
    return [state for _, state in page.run("heard")]


def answers(page: Browser, path: str) -> list[int]:
    received = [told["response"] for told in page.told("Network.responseReceived")]
    return [response["status"] for response in received if response["url"].endswith(path)]


def test_an_event_source_hears_a_job_to_its_end_and_comes_back_once(stack: Served, page: Browser) -> None:
    path = follow(page, stack, 0.7)
    until(lambda: page.run(CLOSED), 20, "the end of the source")
    assert states(page) == ["queued", "running", "succeeded"]
    assert answers(page, path) == [200, 204]


def test_a_source_whose_web_is_replaced_misses_and_repeats_nothing(stack: Served, page: Browser) -> None:
    path = follow(page, stack, 3.0)
    until(lambda: "running" in states(page), 20, "a running job")
    stack.replace_web()
    until(lambda: page.run(CLOSED), 40, "the end of the source")
    assert states(page) == ["queued", "running", "succeeded"]
    assert answers(page, path) == [200, 200, 204]


def test_the_page_of_the_description_shows_it_and_complains_of_nothing(page: Browser) -> None:
    until(lambda: page.run("document.querySelectorAll('.opblock').length") > 10, 20, "operations")
    for complaint in ("Log.entryAdded", "Runtime.exceptionThrown", "Network.loadingFailed"):
        assert page.told(complaint) == []
