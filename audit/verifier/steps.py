"""The steps of a verification as values: what each proves, in both languages, and where it broke.

Stage 9, pure. `Walk` is the one place that turns a broken proof into a `StepError`: every step
names the files it covers before it reads them, and can read no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from registry.core.refusals import Locale
from registry.log.core import canonical
from registry.log.core.errors import VerificationError

# name: (Japanese, English) of what holds when the step has passed. The names are permanent words.
STEPS: Final[Mapping[str, tuple[str, str]]] = {
    "files": (
        "証跡のファイルがそろい、余分なものがない",
        "the pack is complete and holds nothing else",
    ),
    "log": (
        "すべての記録が、固定した鍵で署名された一つの台帳にある",
        "every record stands in one log signed by the pinned keys",
    ),
    "token": (
        "学習許可トークンは使われた時点で有効だった",
        "the consent token was valid when it was redeemed",
    ),
    "grant": ("許諾書はトークンと同じもの", "the grant is the one that the token carries"),
    "text": ("文面は署名された許諾のもの", "the texts are those that people read and signed"),
    "approvals": (
        "全員が自分の鍵で承認した",
        "every party approved with a key of its own",
    ),
    "curation": (
        "選別の報告書は署名されたもの",
        "the curation report is the one that was signed",
    ),
    "pictures": (
        "写真の一覧は署名されたものと一致する",
        "the list of pictures is the one that was signed",
    ),
    "worker": (
        "学習した機械の鍵はトークンが指すもの",
        "the worker's key is the one that the token names",
    ),
    "run": (
        "学習の記録は許諾の範囲内で、機械と登録簿が署名した",
        "the run kept to the grant; worker and registry signed its record",
    ),
    "delivery": (
        "納品の記録はこの学習のもので、登録簿が署名した",
        "the delivery is of this run; the registry signed its record",
    ),
    "history": (
        "記録は一つの案件のもので、順序が正しい",
        "the records are of one case and in their order",
    ),
    "standing": (
        "基準日時点の失効情報で、許諾の状態を確かめた",
        "the grant's standing is known as of the pack's date",
    ),
    "lora": (
        "このファイルは納品されたもの",
        "this file is the one that was delivered",
    ),
}
# The same for a delivered folder.
FOLDER_STEPS: Final[Mapping[str, tuple[str, str]]] = {
    "folder": (
        "納品フォルダーのファイルがそろい、余分なものがない",
        "the folder is complete and holds nothing else",
    ),
    "bundle": (
        "どのファイルも、フォルダーの署名のとおり",
        "every file is the one that the folder's signature covers",
    ),
    "delivered": (
        "このファイルの納品を登録簿が署名し、フォルダーの鍵も指している",
        "the registry signed the delivery of this file, and names the folder's key",
    ),
    "made": (
        "学習の記録は納品の記録が指すもので、登録簿が署名した",
        "the run's record is the one that the delivery names; the registry signed it",
    ),
    "header": (
        "ファイル自身の記載は納品の記録と同じ",
        "the file says of itself what the delivery says",
    ),
    "entry": (
        "この納品は、固定した鍵で署名された台帳にある",
        "this delivery stands in the log signed by the pinned keys",
    ),
}
_SENTENCES: Final = {**STEPS, **FOLDER_STEPS}


@dataclass(frozen=True)
class Step:
    """One step that passed: its number, its name and the files it covered."""

    number: int
    name: str
    files: tuple[str, ...]

    def sentence(self, locale: Locale = "ja") -> str:
        """What has been proved."""
        return _SENTENCES[self.name][0 if locale == "ja" else 1]


class StepError(VerificationError):
    """The step at which a pack ceased to verify.

    `step` is its number, `name` its word, `files` what it covers, `reading` the file last opened in
    it, `done` the steps that had passed; `code` and `detail` are the cause's.
    """

    def __init__(self, failed: Step, reading: str, done: tuple[Step, ...], code: str, why: str):
        super().__init__(code, why)
        self.failed = failed
        self.step = failed.number
        self.name = failed.name
        self.files = failed.files
        self.reading = reading
        self.done = done


class Walk:
    """Goes through a pack step by step. A step reads the files it named and no others."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = files
        self._allowed: tuple[str, ...] = ()
        self._reading = ""
        self.done: list[Step] = []

    @property
    def names(self) -> frozenset[str]:
        """The names of all files of the pack."""
        return frozenset(self._files)

    def under(self, folder: str) -> tuple[str, ...]:
        """The names in one folder, sorted."""
        return tuple(sorted(name for name in self._files if name.startswith(folder + "/")))

    @contextmanager
    def step(self, name: str, *files: str) -> Iterator[None]:
        """One numbered step. Raises `StepError` for whatever breaks inside."""
        step = Step(len(self.done) + 1, name, files)
        self._allowed, self._reading = files, ""
        try:
            yield
        except VerificationError as error:
            raise self._failed(step, error.code, error.detail) from error
        # What a dishonest signer leaves out or misspells is a broken step, not a crash.
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise self._failed(step, "malformed", str(error)) from error
        self.done.append(step)

    def _failed(self, step: Step, code: str, detail: str) -> StepError:
        return StepError(step, self._reading, tuple(self.done), code, detail)

    def bytes(self, name: str) -> bytes:
        """One file's bytes. Raises `VerificationError("malformed")` when it is not in the pack."""
        if name not in self._allowed:
            raise LookupError(f"{name} is not covered by this step")
        self._reading = name
        if name not in self._files:
            raise VerificationError("malformed", f"{name} is missing")
        return self._files[name]

    def text(self, name: str) -> str:
        """One file as UTF-8 text."""
        return self.bytes(name).decode("utf-8")

    def json(self, name: str) -> dict[str, Any]:
        """One file as a JSON object in its RFC 8785 form: no byte can differ and mean the same."""
        data = self.bytes(name)
        value = canonical.loads(data, max_bytes=2**20)
        if not isinstance(value, dict) or canonical.dumps(value) != data:
            raise VerificationError("malformed", f"{name} is not a canonical JSON object")
        return value
