"""Heads of answers: what is read is what every other reader would read, and all else is odd."""

import http.client
import io
from typing import Any, cast

import pytest
from fuzz.mutations import many, mutated
from hypothesis import given, settings
from thorough import examples

from cxrsync.sources.http.lean.head import MAX_HEAD_BYTES, OddAnswer, check_begin, parse_head

OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n"
NGINX = (
    b"HTTP/1.1 206 Partial Content\r\nServer: nginx\r\nDate: Thu, 26 Nov 2026 14:29:45 GMT\r\n"
    b"Content-Type: image/jpeg\r\nContent-Length: 90\r\nConnection: keep-alive\r\n"
    b'ETag: "5f8-1"\r\nContent-Range: bytes 10-99/100\r\n\r\n'
)
S3 = (
    b'HTTP/1.1 200\r\nx-amz-id-2:\tabc=\t\r\nETag: "9e"\r\nConnection: CLOSE\r\nX-Empty:\r\n'
    b"Content-Encoding: aws-chunked\r\nContent-Length: 0\r\nServer: AmazonS3\r\n\r\n"
)
NEWS = b'HTTP/1.1 304 Not Modified\r\nETag: "5f8-1"\r\nContent-Length: 9\r\n\r\n'
SIGN_IN = (
    b"HTTP/1.1 401 Unauthorized\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nVary: Cookie\r\n"
    b"Content-Disposition: inline; filename=Gr\xc3\xbc\xdfe\r\nContent-Length: 0\r\n\r\n"
)
READ = {
    "nginx": (NGINX, 206, 90, True),
    "S3": (S3, 200, 0, False),
    "nothing new": (NEWS, 304, 0, True),
    "nothing new, and no length": (b"HTTP/1.1 304 \r\nX: y\r\n\r\n", 304, 0, True),
    "sign-in": (SIGN_IN, 401, 0, True),
    "busy": (b"HTTP/1.1 503 No\r\nRetry-After: 7\r\n" + TWO + b"\r\n", 503, 2, True),
    "elsewhere": (b"HTTP/1.1 302 Found\r\nLocation: /x\r\n" + TWO + b"\r\n", 302, 2, True),
}


@pytest.mark.parametrize(("block", "status", "length", "keeps_alive"), READ.values(), ids=READ)
def test_what_is_read(block: bytes, status: int, length: int, keeps_alive: bool) -> None:
    head = parse_head(block)
    assert (head.status, head.length, head.keeps_alive) == (status, length, keeps_alive)


def test_the_fields_are_those_of_aiohttp() -> None:
    head = parse_head(SIGN_IN)
    assert head.headers.getall("set-cookie") == ["a=1; Path=/", "b=2"]
    assert head.headers["Content-Disposition"] == "inline; filename=Grü\udcdfe"
    assert parse_head(S3).headers["X-AMZ-ID-2"] == "abc="
    assert parse_head(S3).headers["X-Empty"] == ""


ODD = {
    "another version": b"HTTP/1.0 200 OK\r\n" + TWO,
    "HTTP/2": b"HTTP/2 200\r\n" + TWO,
    "provisional": b"HTTP/1.1 100 Continue\r\nX: y\r\n",
    "another protocol": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\nX: y\r\n",
    "reset content": b"HTTP/1.1 205 Reset\r\n" + TWO,
    "an unknown class": b"HTTP/1.1 600 Odd\r\n" + TWO,
    "a long status": b"HTTP/1.1 2000 OK\r\n" + TWO,
    "no fields": OK,
    "no length": OK + b"X: y\r\n",
    "the length twice": OK + TWO + TWO,
    "two lengths": OK + TWO + b"content-length: 3\r\n",
    "a list of lengths": OK + b"Content-Length: 2, 2\r\n",
    "a signed length": OK + b"Content-Length: +2\r\n",
    "a hexadecimal length": OK + b"Content-Length: 0x2\r\n",
    "other digits": OK + "Content-Length: \u0662\r\n".encode(),
    "an endless length": OK + b"Content-Length: " + b"9" * 20 + b"\r\n",
    "an empty length": OK + b"Content-Length:\r\n",
    "chunks": OK + b"Transfer-Encoding: chunked\r\n",
    "two framings": OK + TWO + b"transfer-encoding: chunked\r\n",
    "trailers": OK + TWO + b"Trailer: X\r\n",
    "an upgrade": OK + TWO + b"Upgrade: h2c\r\nConnection: upgrade\r\n",
    "another connection": OK + TWO + b"Connection: close, X\r\n",
    "two connections": OK + TWO + b"Connection: close\r\nConnection: keep-alive\r\n",
    "a folded line": OK + TWO + b"X: y\r\n z\r\n",
    "a blank before the colon": OK + TWO + b"X : y\r\n",
    "no colon": OK + TWO + b"X\r\n",
    "no name": OK + TWO + b": y\r\n",
    "a bare line feed": OK + b"X: y\n" + TWO,
    "a bare carriage return": OK + b"X: y\rZ: z\r\n" + TWO,
    "a zero byte": OK + b"X: \x00\r\n" + TWO,
    "a name outside ASCII": OK + b"X\xfc: y\r\n" + TWO,
    "many lines": OK + TWO + b"X: y\r\n" * 100,
    "a large head": OK + TWO + b"X: " + b"y" * MAX_HEAD_BYTES + b"\r\n",
}


@pytest.mark.parametrize("block", ODD.values(), ids=ODD)
def test_what_is_odd(block: bytes) -> None:
    with pytest.raises(OddAnswer):
        parse_head(block + b"\r\n")


@pytest.mark.parametrize("begin", [b"220 mail", b"<", b"\r\n", b"HTTP/1.0", b"HTTP/1.1 " * 2000])
def test_an_odd_beginning_is_not_waited_for(begin: bytes) -> None:
    with pytest.raises(OddAnswer):
        check_begin(begin)


def test_the_beginning_of_every_head_is_waited_for() -> None:
    for end in range(len(NGINX)):
        check_begin(NGINX[:end])


class _Said:
    """As much of a socket as http.client reads from."""

    def __init__(self, said: bytes) -> None:
        self._said = said

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._said)


@settings(many, max_examples=examples(600))
@given(mutated(NGINX, S3, NEWS, SIGN_IN, most=4))
def test_whatever_is_read_means_the_same_to_another_reader(block: bytes) -> None:
    try:
        head = parse_head(block)
    except OddAnswer:
        return
    other = http.client.HTTPResponse(cast("Any", _Said(block)), method="GET")
    other.begin()
    assert (head.status, head.length) == (other.status, other.length)
    for name in other.headers:
        theirs = [each.encode("latin-1").strip() for each in other.headers.get_all(name, [])]
        ours = [each.encode("utf-8", "surrogateescape") for each in head.headers.getall(name)]
        assert ours == theirs
    assert len(head.headers) == len(other.headers)
    assert head.keeps_alive == (not other.will_close)
