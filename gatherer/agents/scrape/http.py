"""One HTTP/1.1 exchange over any byte stream: bytes in, an answer out. Pure."""

from __future__ import annotations

import h11

from gatherer.kube.answers import AnswerCutShort, AnswerTooBig, NotHttp, RawAnswer

_MAX_HEAD = 64 << 10  # bytes of status line and headers


class HttpExchange:
    """A request and its answer; the connection is closed afterwards.

    Args:
        method: `GET` or `POST`.
        host: for the Host header.
        path: with the query, encoded.
        body: of a POST, as text/plain.
        accept: content types that are wanted.
        limit: bytes of the answer that are taken.
    """

    def __init__(
        self,
        method: str,
        host: str,
        path: str,
        *,
        body: bytes = b"",
        accept: str = "*/*",
        limit: int,
    ) -> None:
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD)
        self._limit = limit
        self._status = 0
        self._content_type = ""
        self._body = bytearray()
        headers = [
            ("Host", host),
            ("User-Agent", "gatherer"),
            ("Accept", accept),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        if method == "POST":
            headers += [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        request = h11.Request(method=method, target=path, headers=headers)
        events: list[h11.Event] = [request, h11.EndOfMessage()]
        if body:
            events.insert(1, h11.Data(data=body))
        self._request = b"".join(self._connection.send(event) or b"" for event in events)

    def data_to_send(self) -> bytes:
        """Returns the whole request."""
        return self._request

    def receive_data(self, data: bytes) -> RawAnswer | None:
        """Takes bytes of the answer; b"" means that the connection has ended.

        Returns:
            The answer once it is whole; it must not be called again then.

        Raises:
            NotHttp: the bytes are no HTTP.
            AnswerTooBig: there is more than the limit.
            AnswerCutShort: the connection ended before the answer did.
        """
        self._connection.receive_data(data)
        while True:
            try:
                event = self._connection.next_event()
            except h11.RemoteProtocolError as error:
                if not data:
                    raise AnswerCutShort("the answer broke off") from error
                raise NotHttp(str(error)) from error
            if isinstance(event, h11.Response):
                self._status = event.status_code
                for name, value in event.headers:
                    if name == b"content-type":
                        self._content_type = value.decode("latin-1")
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > self._limit:
                    raise AnswerTooBig(f"an answer of more than {self._limit >> 20} MiB")
            elif isinstance(event, h11.EndOfMessage):
                return RawAnswer(self._status, self._content_type, bytes(self._body))
            elif isinstance(event, h11.ConnectionClosed):
                raise AnswerCutShort("the connection ended without an answer")
            elif event is h11.NEED_DATA or event is h11.PAUSED:
                return None
