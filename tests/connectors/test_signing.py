"""Signatures: the published vectors, and headers that hold anything but a signature."""

import base64
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import BadSignatureError
from connectors.signing import check_hmac_sha256_base64

VECTORS = [  # from the test suites of shopify-app-js, go-shopify and ShopifySharp
    pytest.param("test_secret_key", b'{"foo": "bar"}', "B23tXN681gZ0qIWNRrgtzBE9XSDo5yaUu6wfmhu3a7g=", id="app-js"),
    pytest.param("hush", b'"my secret message"', "hMTq0K2x7oyOjoBwGYeTj5oxfnaVYXzbanUG9aajpKI=", id="go-shopify"),
    pytest.param("some-secret", b"Bf", "3X6clrsy+C8mmzR/MeTh6b/EcLr46WLZaU+24GrPXOM=", id="ShopifySharp"),
]

GOOD = "hMTq0K2x7oyOjoBwGYeTj5oxfnaVYXzbanUG9aajpKI="


def sign(secret: str, body: bytes) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


@pytest.mark.parametrize(("secret", "body", "header"), VECTORS)
def test_published_vector_passes(secret: str, body: bytes, header: str):
    check_hmac_sha256_base64(body, header, [secret])


@pytest.mark.parametrize(("secret", "body", "header"), VECTORS)
def test_published_vector_fails_for_another_body_or_secret(secret: str, body: bytes, header: str):
    with pytest.raises(BadSignatureError):
        check_hmac_sha256_base64(body + b"\n", header, [secret])
    with pytest.raises(BadSignatureError):
        check_hmac_sha256_base64(body, header, [secret + "-2"])


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "wronghash",
        "XXXXXaGVsbG8=",
        "YmxhaGJsYWgK",
        GOOD[:-1],
        GOOD + "=",
        GOOD + "\n",
        " " + GOOD,
        GOOD.replace("/", "_").replace("+", "-")[:-2] + "-=",
        GOOD[:-2] + "J=",  # the same digest, spelled with its unused bits set
        "é" * 44,
        "\ud800" * 44,
        "\0" * 44,
        base64.b64encode(b"x" * 33).decode(),
    ],
)
def test_header_that_is_no_digest_fails_like_a_wrong_one(header: str | None):
    with pytest.raises(BadSignatureError):
        check_hmac_sha256_base64(b'"my secret message"', header, ["hush"])


@given(st.text())
def test_no_header_raises_anything_else(header: str):
    with pytest.raises(BadSignatureError):
        check_hmac_sha256_base64(b"body", header, ["secret"])


@pytest.mark.parametrize("position", [0, 1, 2])
def test_any_of_several_secrets_may_have_signed(position: int):
    secrets = ["oldest", "older", "new"]

    check_hmac_sha256_base64(b"body", sign(secrets[position], b"body"), secrets)


def test_secret_outside_ascii_is_utf_8():
    check_hmac_sha256_base64(b"body", sign("schlüssel", b"body"), ["schlüssel"])


@pytest.mark.parametrize("secrets", [[], [""], ["", ""]])
def test_without_a_secret_nothing_is_proven(secrets: list[str]):
    with pytest.raises(BadSignatureError):
        check_hmac_sha256_base64(b"body", sign("", b"body"), secrets)
