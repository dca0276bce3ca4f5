"""Signatures, as the published library verifies them."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from predict_worker.core.errors import InvalidRequest
from predict_worker.webhooks.signing import checked_secret, headers, new_secret


@given(st.text(max_size=60))
def test_the_library_verifies_what_we_sign(text: str) -> None:
    secret, body = new_secret(), text.encode()
    Webhook(secret).verify(body, headers("msg_1", int(time.time()), body, [secret]), json_parse=False)


def test_each_secret_signs_and_no_other_verifies() -> None:
    old, new, other = new_secret(), new_secret(), new_secret()
    signed = headers("msg_1", int(time.time()), b"{}", [new, old])
    assert signed["webhook-signature"].count("v1,") == 2
    for secret in (old, new):
        assert Webhook(secret).verify(b"{}", signed) == {}
    for secret, body in ((other, b"{}"), (new, b"[]")):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, signed)


def test_new_secrets_are_ones_that_may_be_brought_along() -> None:
    assert checked_secret(new_secret()).startswith("whsec_")
    assert new_secret() != new_secret()


@pytest.mark.parametrize("key", [b"x" * 23, b"x" * 65, b""])
def test_a_secret_of_another_size_is_refused_unseen(key: bytes) -> None:
    text = "whsec_" + base64.b64encode(key).decode()
    with pytest.raises(InvalidRequest) as refused:
        checked_secret(text)
    assert text not in str(refused.value) or not key


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_!!!!", base64.b64encode(b"x" * 32).decode(), "ä"])
def test_what_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="secret"):
        checked_secret(text)
