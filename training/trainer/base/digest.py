"""One digest for a base model folder, so that a grant and a token can name it. Standard library."""

import hashlib
from pathlib import Path

_CONTEXT = b"kyodaku/base-model/v1\0"


def base_digest(folder: Path) -> str:
    """SHA-256 (hex) over the sorted lines `sha256(file) || two spaces || relative path`.

    Every regular file under `folder` counts, so nothing can be added, removed, renamed or changed
    unseen. Raises `ValueError` for a folder that is missing, empty, or holds anything but plain
    files and folders: a link could point elsewhere after the check.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise ValueError("the base model is not a folder")
    total = hashlib.sha256(_CONTEXT)
    files = sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*"))
    kept = [(name, path) for name, path in files if not _is_plain_folder(path)]
    if not kept:
        raise ValueError("the base model's folder is empty")
    for name, path in kept:
        if path.is_symlink() or not path.is_file():
            raise ValueError(f"not a plain file: {name}")
        with path.open("rb") as stream:
            line = f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {name}\n"
        total.update(line.encode())
    return total.hexdigest()


def _is_plain_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
