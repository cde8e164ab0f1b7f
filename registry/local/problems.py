"""The one error of this package: what went wrong on this computer, and what to do next."""


class Problem(Exception):
    """Something on this computer keeps us from starting.

    `what` is a sentence; `then` the next step for whoever reads it.
    """

    def __init__(self, what: str, then: str = "") -> None:
        super().__init__(f"{what}\n  Next step: {then}" if then else what)
        self.what = what
        self.then = then
