"""The errors of the log and of everything that verifies.

Ground floor, pure. An expected "no" is a value elsewhere; what is raised here means that a proof is
broken, and a caller that catches it must not go on.
"""


class Error(Exception):
    """Base of every error that this project raises on purpose."""


class VerificationError(Error):
    """A proof, signature or signed format did not verify: nothing in it may be used.

    `code` is a stable word for programs (`bad_signature`), `detail` a sentence for people.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
