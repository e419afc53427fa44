"""uvicorn's HTTP protocol with a bound on the head of a request, which uvicorn itself does not have.

Without it anybody could, before showing a credential, send headers without end, or none at all and keep the socket.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 15.0


class BoundedProtocol(HttpToolsProtocol):
    """Hangs up on heads that are larger than HEAD_BYTES or not whole within HEAD_SECONDS."""

    _head_open = False
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """A new connection: its first head is due."""
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._hang_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone."""
        self._no_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, then see whether a head is still open."""
        was_open = self._head_open
        super().data_received(data)
        if not self._head_open:
            return
        if was_open:
            self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self._hang_up()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._hang_up)

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        self._head_open = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._head_open = False
        self._no_deadline()
        super().on_headers_complete()

    def _no_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _hang_up(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()
