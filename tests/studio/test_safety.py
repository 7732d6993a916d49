"""Who reaches the studio: hosts, origins, passwords, sizes."""

import asyncio
import base64
from typing import Any

import pytest

from studio.safety import COOKIE, MOST_FAILURES, Access, Guard, is_loopback
from utils.errors import ConfigError

SECRET = "correct horse"
LOCAL = Access.checked()
OPEN = Access.checked(host="0.0.0.0", secret=SECRET, names=("Studio.example",))
OWN = {"host": "192.168.1.5:7860"}


async def page(scope: Any, receive: Any, send: Any) -> None:
    """Read the whole body and answer with its size."""
    size, is_more = 0, scope["type"] == "http"
    while is_more:
        message = await receive()
        if message["type"] == "http.disconnect":
            await send({"type": "http.response.start", "status": 400, "headers": []})
            return
        size, is_more = size + len(message["body"]), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-size", str(size).encode())]})
    await send({"type": "http.response.body", "body": b""})


def asked(
    guard: Guard, headers: dict[str, str], *, method: str = "GET", path: str = "/", query: str = "", kind: str = "http",
    bodies: tuple[bytes, ...] = (b"",),
) -> tuple[int, dict[str, str]]:  # fmt: skip
    """Return status (1008 for a socket that was refused) and headers of the answer."""
    sent: list[dict[str, Any]] = []
    left = list(bodies)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {
        "type": kind, "method": method, "path": path, "query_string": query.encode(), "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    asyncio.run(guard(scope, receive, send))
    first = sent[0]
    found = {name.decode(): value.decode() for name, value in first.get("headers", [])}
    return int(first.get("status", first.get("code", 0))), found


def status(guard: Guard, headers: dict[str, str], **request: Any) -> int:
    return asked(guard, headers, **request)[0]


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.1.5", "studio.example"])
def test_others_reach_the_studio_with_a_password_only(host: str) -> None:
    with pytest.raises(ConfigError, match="password= or token="):
        Access.checked(host=host)

    assert SECRET not in repr(Access.checked(host=host, secret=SECRET))


def test_a_short_password_is_refused() -> None:
    with pytest.raises(ConfigError, match="7 letters"):
        Access.checked(secret="1234567")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_is_this_machine(host: str) -> None:
    assert is_loopback(host)
    assert Access.checked(host=host).secret == ""


@pytest.mark.parametrize(
    ("host", "local", "opened"),
    [
        ("127.0.0.1:7860", 200, 401),
        ("localhost:7860", 200, 401),
        ("[::1]:7860", 200, 401),
        ("evil.example:7860", 421, 421),  # a name of somebody's that was pointed at this machine
        ("localhost.evil.example", 421, 421),
        ("127.0.0.1@evil.example", 421, 421),
        ("192.168.1.5:7860", 421, 401),
        ("studio.example", 421, 401),
        ("", 421, 421),
        ("127.0.0.1:x", 421, 421),
    ],
)
def test_names_that_are_not_ours_are_refused(host: str, local: int, opened: int) -> None:
    assert status(Guard(page, LOCAL), {"host": host}) == local
    assert status(Guard(page, OPEN), {"host": host}) == opened


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 200),  # a program
        ({"origin": "http://127.0.0.1:7860"}, 200),
        ({"origin": "http://127.0.0.1:8080"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[x"}, 403),
        ({"origin": "http://127.0.0.1:7860@evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
    ],
)
def test_pages_of_others_change_and_read_nothing(headers: dict[str, str], code: int) -> None:
    guard, own = Guard(page, LOCAL), {"host": "127.0.0.1:7860", **headers}

    assert status(guard, own, method="POST") == code
    assert status(guard, own, kind="websocket") == (200 if code == 200 else 1008)
    assert status(guard, own) == (code if "origin" in headers else 200)  # a link from elsewhere is followed


def test_a_password_is_asked_for_and_kept_as_a_cookie_that_does_not_hold_it() -> None:
    guard = Guard(page, OPEN)
    basic = base64.b64encode(f"me:{SECRET}".encode()).decode()

    assert asked(guard, OWN)[1]["www-authenticate"].startswith("Basic")
    code, answer = asked(guard, {**OWN, "authorization": f"Basic {basic}"})
    assert code == status(guard, {**OWN, "authorization": f"Bearer {SECRET}"}) == 200
    cookie = answer["set-cookie"].split(";")[0]
    assert cookie.startswith(COOKIE) and SECRET not in answer["set-cookie"]
    assert "HttpOnly" in answer["set-cookie"] and "SameSite=Strict" in answer["set-cookie"]
    assert status(guard, {**OWN, "cookie": f"a=b; {cookie}"}) == 200
    assert status(guard, {**OWN, "cookie": f"{COOKIE}=wrong"}) == 401
    assert status(guard, {**OWN, "cookie": cookie, "origin": "http://evil.example"}, method="POST") == 403


def test_a_token_leaves_the_address_at_once() -> None:
    code, answer = asked(Guard(page, OPEN), OWN, path="//evil.example/x", query=f"a=1&token={SECRET.replace(' ', '+')}")

    assert (code, answer["location"]) == (303, "/evil.example/x?a=1")
    assert answer["set-cookie"].startswith(COOKIE)
    assert status(Guard(page, OPEN), OWN, query="token=wrong") == 401


def test_many_wrong_passwords_close_the_door_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("studio.safety.time.monotonic", lambda: now[0])
    guard = Guard(page, OPEN)

    codes = [status(guard, {**OWN, "authorization": "Bearer wrong"}) for _ in range(MOST_FAILURES)]

    assert codes[:-1] == [401] * (MOST_FAILURES - 1)
    assert status(guard, {**OWN, "authorization": f"Bearer {SECRET}"}) == 429
    assert status(guard, {**OWN, "cookie": f"{COOKIE}={OPEN.cookie}"}) == 200  # who is in stays in
    now[0] = 61.0
    assert status(guard, {**OWN, "authorization": f"Bearer {SECRET}"}) == 200


def test_bodies_are_bounded_with_and_without_their_length() -> None:
    guard, own = Guard(page, LOCAL, max_body_bytes=10), {"host": "localhost"}

    assert status(guard, {**own, "content-length": "11"}, method="POST") == 413
    assert status(guard, {**own, "content-length": "-1"}, method="POST") == 413
    assert asked(guard, own, method="POST", bodies=(b"12345", b"67890"))[1]["x-size"] == "10"
    assert status(guard, {**own, "content-length": "2"}, method="POST", bodies=(b"12345", b"678901")) == 400


def test_answers_say_that_they_are_nothing_for_others() -> None:
    answer = asked(Guard(page, LOCAL), {"host": "localhost"})[1]

    assert answer["x-frame-options"] == "SAMEORIGIN"
    assert answer["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer
