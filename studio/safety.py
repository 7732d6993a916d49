"""Who may reach the studio, and with what: rules of access, and a guard around its pages (plain ASGI).

    access = Access.checked(host="127.0.0.1", port=7860)              loopback needs no password
    access = Access.checked(host="0.0.0.0", port=7860, secret="...")  any other host does
    application = Guard(application, access)

The guard refuses, before a page sees anything of it:

* a Host header that is not ours (421): a name of somebody's that was pointed at this machine (DNS rebinding);
* a request from a page of another origin that changes something, opens a socket or wants to read the answer (403);
* a body larger than is allowed (413);
* whoever does not know the password, where there is one (401; 429 after many wrong ones).
"""

import base64
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from utils.errors import ConfigError

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
SHORTEST_SECRET = 8
MAX_BODY_BYTES = 2 * 2**30  # an hour of 24-bit stereo at 96 kHz
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
COOKIE, PARAMETER = "voclo_studio", "token"
COOKIE_SECONDS = 30 * 24 * 3600
MOST_FAILURES, FAILURE_SECONDS = 10, 60.0
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where the studio listens and who may come.

    Attributes:
        host: address that it listens at.
        port: of that address.
        secret: password or token; empty where only this machine reaches the studio.
        names: further names under which browsers call it, such as that of a proxy.
    """

    host: str
    port: int
    secret: str = field(default="", repr=False)
    names: tuple[str, ...] = ()

    @classmethod
    def checked(
        cls, *, host: str = "127.0.0.1", port: int = 7860, secret: str = "", names: tuple[str, ...] = ()
    ) -> Self:
        """Return the access, if it is safe.

        Raises:
            ConfigError: if others could reach the studio without a password, or the password is too short.
        """
        if secret and len(secret) < SHORTEST_SECRET:
            raise ConfigError(f"the password or token has {len(secret)} letters; give at least {SHORTEST_SECRET}")
        if not secret and not is_loopback(host):
            raise ConfigError(
                f"host={host!r} lets other machines reach the studio; give password= or token= too, "
                "or leave host= out (this machine alone)"
            )
        return cls(host=host, port=port, secret=secret, names=tuple(name.lower() for name in names))

    def is_ours(self, host_header: str) -> bool:
        """Return whether a Host header names the studio.

        An address in numbers cannot be pointed elsewhere by its owner; a name can. So a studio that listens to others
        takes every address, names only if they are known; one on loopback takes loopback alone.
        """
        host = _host_of(host_header)
        if host is None:
            return False
        if host in LOCAL_NAMES or host in self.names or host == self.host.lower().strip("[]"):
            return True
        return is_loopback(host) if is_loopback(self.host) else _address(host) is not None

    def knows(self, secret: str) -> bool:
        """Return whether a text is the password; takes as long for every text."""
        return hmac.compare_digest(secret.encode("utf-8"), self.secret.encode("utf-8"))

    @property
    def cookie(self) -> str:
        """What a browser keeps that has given the password: nothing that the password could be read from."""
        return hmac.new(self.secret.encode("utf-8"), b"voclo-trainer studio", hashlib.sha256).hexdigest()


class Guard:
    """An ASGI application around another one that lets through what the rules of this module allow.

    Args:
        app: the pages.
        access: who may come.
        max_body_bytes: largest body of a request; uploads are bounded here whoever reads them.
    """

    def __init__(self, app: App, access: Access, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self.app = app
        self.access = access
        self.max_body_bytes = max_body_bytes
        self._failures: list[float] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = _headers(scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(scope, receive, send, *refusal)
        elif scope["type"] == "http" and self.access.secret and PARAMETER in _query(scope):
            await self._take_token(scope, send)
        else:
            await self._hand_on(scope, receive, send)

    def _refusal(self, scope: Message, headers: Mapping[str, str]) -> tuple[int, str] | None:
        if not self.access.is_ours(headers.get("host", "")):
            return 421, "this name is not the studio's (Host header); call it by its address"
        if not _is_same_origin(scope, headers):
            return 403, "this request comes from a page of another origin"
        size = headers.get("content-length", "0")
        if not size.isdecimal() or int(size) > self.max_body_bytes:
            return 413, f"at most {self.max_body_bytes / 1e6:.0f} MB are taken at once"
        return None if self._is_known(scope, headers) else self._unknown()

    def _is_known(self, scope: Message, headers: Mapping[str, str]) -> bool:
        """Return whether a request brings the password: as a cookie, in a header, or in the address (?token=)."""
        if not self.access.secret:
            return True
        cookie = _cookie(headers)
        if cookie is not None and hmac.compare_digest(cookie.encode("utf-8"), self.access.cookie.encode("utf-8")):
            return True
        given = [*_given_secrets(headers), *[value for value in [_query(scope).get(PARAMETER)] if value]]
        is_right = not self._is_closed() and any(self.access.knows(secret) for secret in given)
        if given and not is_right:
            self._failures = [*self._failures, time.monotonic()][-MOST_FAILURES:]
        return is_right

    def _is_closed(self) -> bool:
        """Return whether so many wrong passwords came lately that none is looked at."""
        recent = [moment for moment in self._failures if time.monotonic() - moment < FAILURE_SECONDS]
        return len(recent) >= MOST_FAILURES

    def _unknown(self) -> tuple[int, str]:
        if self._is_closed():
            return 429, f"too many wrong passwords; wait {FAILURE_SECONDS:.0f} seconds"
        return 401, "give the password (any user name) or open the address with the token"

    async def _take_token(self, scope: Message, send: Send) -> None:
        """Let the browser keep the token as a cookie and go on without it, so that no address and no log shows it."""
        rest = urlencode([(key, value) for key, value in _pairs(scope) if key != PARAMETER])
        place = str(scope.get("root_path", "")) + "/" + str(scope["path"]).lstrip("/")  # "//elsewhere" would leave us
        headers = [
            (b"location", f"{_ascii_path(place)}{'?' * bool(rest)}{rest}".encode("ascii")),
            self._set_cookie(scope),
        ]
        await send({"type": "http.response.start", "status": 303, "headers": [*headers, *HEADERS]})
        await send({"type": "http.response.body", "body": b""})

    async def _hand_on(self, scope: Message, receive: Receive, send: Send) -> None:
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > self.max_body_bytes:  # a body that came without its length, or with a wrong one
                    return {"type": "http.disconnect"}
            return message

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [self._set_cookie(scope)] if self.access.secret else []
                message = {**message, "headers": [*message.get("headers", []), *HEADERS, *own]}
            await send(message)

        await self.app(scope, bounded, with_headers)

    def _set_cookie(self, scope: Message) -> tuple[bytes, bytes]:
        secure = "; Secure" * (scope.get("scheme") == "https")
        text = f"{COOKIE}={self.access.cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age={COOKIE_SECONDS}{secure}"
        return b"set-cookie", text.encode("ascii")


def is_loopback(host: str) -> bool:
    """Return whether an address or name reaches this machine alone; 0.0.0.0 and an empty one reach all."""
    if host.lower() == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _host_of(header: str) -> str | None:
    """Return the host of `host`, `host:port` or `[::1]:port`; None where it is no such thing."""
    try:
        parts = urlsplit(f"//{header}")
        valid = parts.netloc == header and "@" not in header and (parts.port is None or parts.port >= 0)
    except ValueError:
        return None
    return parts.hostname.rstrip(".") if valid and parts.hostname else None


def _is_same_origin(scope: Message, headers: Mapping[str, str]) -> bool:
    """Return whether a request comes from our own pages, or neither changes nor reads anything for another one.

    Browsers send Origin with all that changes something from elsewhere, or whose answer a page elsewhere wants to read,
    and Sec-Fetch-Site; programs send neither. Links from elsewhere come without Origin.
    """
    origin = headers.get("origin")
    if origin is not None:
        return origin.lower().partition("://")[2] == headers["host"].lower()
    if scope["type"] == "http" and scope["method"] in SAFE_METHODS:
        return True
    return headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def _headers(scope: Message) -> dict[str, str]:
    """Return the headers; of one that came twice all values, so that none of them passes for the only one."""
    found: dict[str, str] = {}
    for name, value in scope.get("headers", []):
        key = name.decode("latin-1").lower()
        separator = "; " if key == "cookie" else ", "
        found[key] = f"{found[key]}{separator}{value.decode('latin-1')}" if key in found else value.decode("latin-1")
    return found


def _pairs(scope: Message) -> list[tuple[str, str]]:
    return parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)


def _query(scope: Message) -> dict[str, str]:
    return dict(_pairs(scope))


def _cookie(headers: Mapping[str, str]) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value


def _given_secrets(headers: Mapping[str, str]) -> list[str]:
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return [value.strip()]
    if kind.lower() == "basic":
        try:
            return [base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]]
        except ValueError:
            return []
    return []


def _ascii_path(path: str) -> str:
    return "".join(
        letter if letter.isascii() and letter.isprintable() and letter not in " \\" else "_" for letter in path
    )


async def _refuse(scope: Message, receive: Receive, send: Send, status: int, words: str) -> None:
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": 1008, "reason": words[:100]})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close"), *HEADERS]
    headers += [(b"www-authenticate", b'Basic realm="voclo-trainer studio", charset="UTF-8"')] if status == 401 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{words}\n".encode()})
