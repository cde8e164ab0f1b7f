"""Reading what a stranger sends as JSON: strictly, or not at all. Not a stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from registry.log.core import canonical
from registry.log.core.errors import VerificationError


class StrictJSONParser(JSONParser):
    """JSON as `canonical.loads` reads it: one meaning, a bearable size and depth.

    A duplicate member would let a log of requests and the registry read two different things; a
    thousand brackets or a lone surrogate would end as a defect of ours instead of a 400.
    """

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        """The value. Raises `ParseError`."""
        data = stream.read(canonical.MAX_BYTES + 1)
        try:
            return canonical.loads(data)
        except VerificationError as error:
            raise ParseError(error.code) from error
