"""How the platform listens."""

import asyncio
import socket

import pytest

from local_platform.serve import listen


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_answers_do_not_wait_for_acknowledgments(host: str) -> None:
    """Each page took 40 ms more."""
    assert asyncio.run(_sends_at_once(host))


async def _sends_at_once(host: str) -> bool:
    told: asyncio.Queue[int] = asyncio.Queue()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        await told.put(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with listen(host, 0) as listener:
        async with await asyncio.start_server(answer, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
            found = await told.get()
            writer.close()
            return bool(found)
