"""A wire between the worker and the registry that can be cut: a TCP proxy on loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Final

WAYS: Final = ("through", "refuse", "silence")


class Wire:
    """Forwards connections to `target`; `way` says what happens to them. A context manager.

    `through`: forwarded; `refuse`: closed at once, also those that are open; `silence`: taken, and
    nothing ever comes back, as when packets are dropped.
    """

    def __init__(self, target: int) -> None:
        self.target, self.way = target, "through"
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.way = "refuse"
        self._server.close()
        self._drop()

    def cut(self, way: str) -> None:
        """From now on, and for what is open already."""
        self.way = way
        if way != "through":
            self._drop()

    def _drop(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.close()
        self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            self._open.append(near)
            if self.way == "refuse":
                near.close()
            elif self.way == "through":
                self._join(near)

    def _join(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self.target), timeout=5)
        except OSError:
            near.close()
            return
        far.settimeout(None)
        self._open.append(far)
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(1 << 16):
            other.sendall(data)
    for end in (one, other):
        with contextlib.suppress(OSError):
            end.close()
