"""A connection: however its bytes arrive, the answer is the same, and nothing is lost."""

import asyncio
from collections.abc import Sequence

import aiohttp
import pytest
from fuzz.mutations import many
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples
from yarl import URL

from cxrsync.sources.http.lean.connection import Answer, Connection
from cxrsync.sources.http.lean.head import MAX_HEAD_BYTES, OddAnswer

PLACE = URL("http://host.example/a")
BODY = bytes(range(256)) * 300
HEAD = b"HTTP/1.1 200 OK\r\nX-Pad: " + b"y" * 200 + b"\r\nContent-Length: %d\r\n\r\n" % len(BODY)


class Line(asyncio.Transport):
    """What a connection is told to do by its answers."""

    def __init__(self) -> None:
        super().__init__()
        self.is_paused = self.is_closed = False
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    abort = close


class Stand:
    """A connection and its line. ``free``: how often it was free; ``tls``: as with TLS, which
    says how much it holds."""

    def __init__(self, buffer: int = MAX_HEAD_BYTES, *, tls: bool = False) -> None:
        self.free = 0
        self.tls = tls
        self.line = Line()
        self.connection = Connection(buffer, self._free, lambda _connection: None)
        self.connection.connection_made(self.line)

    def _free(self, _connection: Connection) -> None:
        self.free += 1

    async def ask(self) -> "asyncio.Task[Answer]":
        asked = asyncio.create_task(self.connection.send(b"GET", PLACE))
        await asyncio.sleep(0)
        return asked

    def arrive(self, data: bytes) -> bytes:
        """Give bytes to the connection as asyncio does, as long as it reads. Return the rest."""
        while data and not self.line.is_paused and not self.line.is_closed:
            room = self.connection.get_buffer(len(data) if self.tls else -1)
            assert len(room)
            count = min(len(room), len(data))
            room[:count] = data[:count]
            self.connection.buffer_updated(count)
            data = data[count:]
        return data


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    ends = sorted({each % len(data) for each in places} | {len(data)})
    return [data[a:b] for a, b in zip([0, *ends], ends, strict=False)]


@settings(many, max_examples=examples(300))
@given(
    st.lists(st.integers(0, 1 << 20), max_size=12),
    st.lists(st.integers(0, len(HEAD) + 2), max_size=4),
    st.tuples(st.sampled_from([MAX_HEAD_BYTES, 40_000, 1 << 18]), st.booleans()),
)
def test_any_pieces_make_the_same_answer(
    places: list[int], in_head: list[int], buffer_and_tls: tuple[int, bool]
) -> None:
    async def converse() -> None:
        buffer, tls = buffer_and_tls
        stand = Stand(buffer, tls=tls)
        asked = await stand.ask()
        taken: list[memoryview] = []
        for piece in cut(HEAD + BODY, [*places, *in_head]):
            rest = stand.arrive(piece)
            while rest:
                taken.append((await asked).read_nowait())
                rest = stand.arrive(rest)
        answer = await asked
        while piece_left := await answer.readany():
            taken.append(piece_left)
        assert b"".join(taken) == BODY  # also those that were taken long ago: nobody wrote over
        assert answer.at_eof()
        assert (stand.free, stand.line.is_closed, stand.line.is_paused) == (1, False, False)
        assert stand.connection.usable

    asyncio.run(converse())


async def test_no_more_is_read_than_the_buffer_holds() -> None:
    stand = Stand()
    asked = await stand.ask()
    rest = stand.arrive(HEAD + BODY)
    assert len(HEAD + BODY) - len(rest) == MAX_HEAD_BYTES
    assert stand.line.is_paused
    (await asked).read_nowait()
    assert not stand.line.is_paused


async def test_the_end_of_a_body_that_tls_holds_is_read_at_once() -> None:
    """Also while the buffer is full of bytes that nobody has taken."""
    stand = Stand()
    asked = await stand.ask()
    rest = stand.arrive(HEAD + BODY)
    assert len(stand.connection.get_buffer(len(rest))) > len(rest)
    stand.line.is_paused = False
    assert stand.arrive(rest) == b""
    answer = await asked
    assert answer.at_eof() is False
    assert bytes(await answer.readany()) == BODY
    assert answer.at_eof()
    assert (stand.free, stand.line.is_closed) == (1, False)


async def test_there_is_room_for_a_byte_behind_the_body() -> None:
    """So it is read with the body, and not by the next request, as the beginning of its answer."""
    stand = Stand(40_000)
    asked = await stand.ask()
    rest = stand.arrive(HEAD + BODY)
    (await asked).read_nowait()
    room = stand.connection.get_buffer(-1)
    assert len(room) > len(rest)
    room[: len(rest) + 1] = rest + b"H"
    stand.connection.buffer_updated(len(rest) + 1)
    assert (await asked).read_nowait() == rest
    assert (stand.free, stand.line.is_closed) == (1, True)


async def test_bytes_that_nobody_asked_for_end_the_connection() -> None:
    stand = Stand()
    asked = await stand.ask()
    stand.arrive(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!")
    assert bytes((await asked).read_nowait()) == b"ok"
    assert stand.line.is_closed

    stand = Stand()
    stand.arrive(b"HTTP/1.1 200 OK\r\n")
    assert stand.line.is_closed


async def test_a_connection_that_the_server_will_close_is_used_no_more() -> None:
    stand = Stand()
    asked = await stand.ask()
    stand.arrive(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    assert bytes((await asked).read_nowait()) == b"ok"
    assert not stand.connection.usable


@pytest.mark.parametrize("end", ["eof", "lost", "reset"])
@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nCont", HEAD, HEAD + b"ab"])
async def test_an_end_before_the_end(said: bytes, end: str) -> None:
    stand = Stand()
    asked = await stand.ask()
    stand.arrive(said)
    if end == "eof":
        stand.connection.eof_received()
    else:
        reset = ConnectionResetError(104, "reset")
        stand.connection.connection_lost(reset if end == "reset" else None)
    if said.startswith(HEAD):
        answer = await asked
        assert bytes(answer.read_nowait()) == said.removeprefix(HEAD)  # what arrived is kept
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.readany()
        return
    kind = aiohttp.ClientOSError if end == "reset" else aiohttp.ServerDisconnectedError
    with pytest.raises(kind):
        await asked
    assert not stand.connection.usable


async def test_an_odd_answer_ends_the_connection() -> None:
    stand = Stand()
    asked = await stand.ask()
    stand.arrive(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    with pytest.raises(OddAnswer):
        await asked
    assert stand.line.is_closed


async def test_a_head_that_fills_the_buffer_is_odd() -> None:
    stand = Stand()
    asked = await stand.ask()
    begin = HEAD.removesuffix(b"\r\n") + b"X-More: "
    stand.arrive(begin + b"y" * (MAX_HEAD_BYTES - len(begin) - 4) + b"\r\n\r\n" + BODY)
    with pytest.raises(OddAnswer):
        await asked


async def test_a_cancelled_request_ends_the_connection() -> None:
    stand = Stand()
    asked = await stand.ask()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert stand.line.is_closed


async def test_a_request_cancelled_at_its_answer_leaves_the_connection_alone() -> None:
    """Somebody else may have taken it already."""
    stand = Stand()
    asked = await stand.ask()
    stand.arrive(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    other = asyncio.create_task(stand.connection.send(b"GET", PLACE))
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert stand.connection.usable
    stand.arrive(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
    assert bytes((await other).read_nowait()) == b"no"


async def test_an_answer_that_is_given_up_ends_the_connection() -> None:
    stand = Stand()
    asked = await stand.ask()
    stand.arrive(HEAD + b"ab")
    (await asked).close()
    assert stand.line.is_closed
