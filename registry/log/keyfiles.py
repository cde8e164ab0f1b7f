"""Secret keys from files: the one place that opens them.

Ground floor, no Django. A file that anybody else on the machine can read is not a secret, so it is
refused rather than warned about. There is no default key and no key is ever made here.
"""

import os
import re
import stat
from pathlib import Path

from registry.log.core.errors import Error


class KeyFileError(Error):
    """A secret key file is missing, open to others, or does not hold a key of this size."""


def read_secret(path: Path, size: int) -> bytes:
    """Return the `size` secret bytes in `path`, written raw or as hex with an optional newline.

    Refuses symbolic links, anything but a regular file, modes wider than 0600, and other owners
    than us or root. The checks are made on the descriptor that is read. Raises KeyFileError.
    """
    data = read_private(path, 2 * size + 2)
    if len(data) == size:
        return data
    if re.fullmatch(rb"[0-9a-fA-F]+\r?\n?", data) and len(data.strip()) == 2 * size:
        return bytes.fromhex(data.decode().strip())
    raise KeyFileError(f"secret key file {path} does not hold {size} bytes, raw or in hex")


def read_private(path: Path, most: int) -> bytes:
    """Return the content of a secret file of at most `most` bytes, looked at as above.

    Raises KeyFileError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise KeyFileError(f"cannot open secret key file {path}: {error.strerror}") from error
    try:
        _require_private(path, os.fstat(descriptor))
        data = os.read(descriptor, most + 1)
    finally:
        os.close(descriptor)
    if len(data) > most:
        raise KeyFileError(f"secret key file {path} is larger than {most} bytes")
    return data


def _require_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(f"secret key file {path} is not a regular file")
    if stat.S_IMODE(status.st_mode) & ~0o600:
        raise KeyFileError(f"secret key file {path} has a mode wider than 0600")
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyFileError(f"secret key file {path} belongs to somebody else")
