"""FakeBrokers: a ClusterModel behind real sockets on loopback, in a thread of its own.

Frames, codec and record batches are the real ones. A FETCH waits for records as a broker's does. Tests
make trouble from outside: `break_connections`, `answer_with`, `hold`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from logstream.protocol.codec import encode
from logstream.protocol.envelope import Envelope
from logstream.protocol.framing import FrameReader
from logstream.protocol.messages import ClientRequest, ClientResponse, Fetch, FetchResponse
from tests.client.cluster_model import ClusterModel

Spoiler = Callable[[ClientRequest], ClientResponse | None]


class FakeBrokers:
    """Listens for as many brokers as the model has; their addresses are known after `start`."""

    def __init__(self, brokers: int = 1, **model: Any) -> None:
        self.spoil: Spoiler = lambda request: None  # an answer instead of the model's
        self.hold = False  # requests are read and not answered
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._held: list[tuple[str, Envelope, asyncio.StreamWriter]] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._servers = [self._call(self._listen(number)) for number in range(brokers)]
        self.addresses = [f"127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in self._servers]
        self.model = ClusterModel(self.addresses, **model)
        self._produced = asyncio.Event()

    def stop(self) -> None:
        """Close everything."""
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)
        self._loop.close()

    def break_connections(self) -> None:
        """Every connection is reset, whatever is under way."""
        self._call(self._break())

    def release(self) -> None:
        """Answer what was held, and hold no longer."""
        self._call(self._release())

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)

    async def _listen(self, number: int) -> asyncio.Server:
        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
            return self._serve(self.addresses[number], reader, writer)

        return await asyncio.start_server(serve, "127.0.0.1", 0)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        await self._break()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _break(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _release(self) -> None:
        self.hold = False
        held, self._held = self._held, []
        for address, envelope, writer in held:
            await self._answer(address, envelope, writer)

    async def _serve(self, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = FrameReader(64 * 1024 * 1024)
        self._writers.add(writer)
        try:
            while data := await reader.read(262_144):
                for envelope in frames.feed(data):
                    if self.hold:
                        self._held.append((address, envelope, writer))
                    else:
                        await self._answer(address, envelope, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, address: str, envelope: Envelope, writer: asyncio.StreamWriter) -> None:
        request: Any = envelope.message
        answer = self.spoil(request)
        if answer is None:
            answer = await self._fetch(address, request) if isinstance(request, Fetch) else self._say(address, request)
        writer.writelines(encode(Envelope(answer, envelope.cluster, correlation=envelope.correlation)))

    def _say(self, address: str, request: ClientRequest) -> ClientResponse:
        answer = self.model.answer(address, request)
        self._produced.set()
        return answer

    async def _fetch(self, address: str, request: Fetch) -> ClientResponse:
        """Wait for records, at most as long as the consumer says."""
        deadline = self._loop.time() + request.max_wait_s
        while True:
            self._produced.clear()
            answer = self.model.answer(address, request)
            assert isinstance(answer, FetchResponse)
            left_s = deadline - self._loop.time()
            if left_s <= 0 or any(found.batches or found.error for found in answer.partitions):
                return answer
            try:
                await asyncio.wait_for(self._produced.wait(), left_s)
            except TimeoutError:
                continue
