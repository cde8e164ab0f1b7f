"""`kyodaku`: what an auditor, a licensee or anybody else runs on their own machine. Stage 9.

`verify`, `open` and `inspect` work offline and load no network code; `trace` asks a registry over
HTTP and loads its client only then. `curate` looks at a folder of pictures as the gate does,
without a server. Exit codes: 0 verified (found), 1 not verified (not found), 2 the question could
not be asked (wrong arguments, unreadable file, registry unreachable).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from audit import delivered
from audit.telling import (
    NO,
    OK,
    TEST,
    cannot,
    failure_lines,
    failure_payload,
    passed,
    reason,
    tell,
)
from audit.verifier import folder as folders
from audit.verifier import pack as packs
from audit.verifier import verify as verifier
from audit.verifier.steps import Step, StepError
from audit.verifier.verify import Verdict
from registry.core import receipts, refusals
from registry.core.refusals import Locale
from registry.core.trust import TrustRoot
from registry.log.core.errors import VerificationError
from training.core import weights
from training.desk import arguments as desk

_MAX_LORA: Final = 8 << 30
_VERIFIED: Final = {
    "ja": "VERIFIED {lora}: {date} 時点で証明が成り立ちます。{standing}",
    "en": "VERIFIED {lora}: every proof holds as of {date}. {standing}",
}
_IN_FORCE: Final = {"ja": "許諾は有効でした。", "en": "The grant was in force."}
_ENDED: Final = {
    "ja": "学習は許諾されていましたが、この日の時点で新しい利用はできません({code})。",
    "en": "The training was covered, but no new use was allowed on that day ({code}).",
}
_RECEIPT: Final = {
    "ja": "VERIFIED {receipt}: {who}({party_id})が {asserted_at} に署名し、"
    "記録 {log_index} 番にあります。期間の終わり {until}。今も有効かは登録簿で確かめてください。",
    "en": "VERIFIED {receipt}: signed by {who} ({party_id}) at {asserted_at}, entry {log_index} of "
    "the log, until {until}. Whether it still holds is for the registry to say.",
}
_NOTHING: Final = {
    "ja": "何も検証していません。ファイルがそう述べているだけです。",
    "en": "NOTHING was verified: this is only what the file says of itself.",
}
_USED: Final = {
    "ja": "使用 {use}({medium}、{quantity}点): {covered}",
    "en": "Use {use} ({medium}, {quantity} units): {covered}",
}
_COVERED: Final = {"ja": "許諾の範囲内です。", "en": "covered by what was agreed."}
_OUTSIDE: Final = {
    "ja": "次の点が許諾の範囲外です: {names}",
    "en": "outside what was agreed: {names}",
}
_WITHOUT_LORA: Final = {
    "ja": "LoRAファイルは照合していません(--lora で指定)。",
    "en": "No LoRA file was compared (name one with --lora).",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    commands = {
        "verify": _verify,
        "inspect": _inspect,
        "open": delivered.open_parcel,
        "keygen": delivered.keygen,
        "trace": _trace,
        "curate": _curate,
        "calibrate": _calibrate,
    }
    return commands[options.command](options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kyodaku", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    verify = commands.add_parser("verify", help="verify a delivery, an evidence pack or a receipt")
    verify.add_argument(
        "pack", type=Path, help="a delivered folder, a pack (zip or folder) or a receipt (.json)"
    )
    verify.add_argument("--trust", type=Path, required=True, help="the pinned trust.json")
    verify.add_argument("--lora", type=Path, help="the LoRA file to compare with the pack")
    verify.add_argument(
        "--proof", type=Path, help="the delivered folder's .tlog-proof, if it is not beside it"
    )
    inspect = commands.add_parser("inspect", help="show what a pack or LoRA says (unverified)")
    inspect.add_argument("file", type=Path, help="a pack or a .safetensors file")
    trace = commands.add_parser("trace", help="ask a registry whose file this is")
    trace.add_argument("file", type=Path, help="a .safetensors file, or a picture")
    trace.add_argument(
        "--base", type=Path, help="the base model (file or folder) of a merged checkpoint"
    )
    trace.add_argument("--url", required=True, help="the registry's address")
    trace.add_argument("--key", help="an API key; by default KYODAKU_API_KEY")
    desk.add_commands(commands, _language())
    for command in (verify, inspect, trace, *delivered.add_commands(commands)):
        command.add_argument("--json", action="store_true", help="one JSON object")
        command.add_argument("--lang", choices=("ja", "en"), default=_language())
    return parser


def _language() -> Locale:
    spoken = os.environ.get("LC_ALL") or os.environ.get("LANG") or ""
    return "ja" if spoken.startswith("ja") else "en"


# --- verify ---------------------------------------------------------------------------------------


def _verify(options: argparse.Namespace) -> int:
    try:
        trust = TrustRoot.from_bytes(options.trust.read_bytes())
        lora = None if options.lora is None else _read_lora(options.lora)
    except (OSError, ValueError, VerificationError) as error:
        return cannot(options, str(error))
    if options.pack.suffix == ".json":
        return _verify_receipt(options, trust)
    try:
        is_folder, is_parcel = folders.is_folder(options.pack), delivered.is_parcel(options.pack)
    except OSError as error:
        return cannot(options, str(error))
    if is_folder:
        return delivered.verify_folder(options, trust)
    if is_parcel:
        said = refusals.explain("still_sealed", options.lang)
        return cannot(options, f"{said.what} {said.next}")
    try:
        verdict = verifier.verify(_load(options.pack), trust, lora)
    except OSError as error:
        return cannot(options, str(error))
    except StepError as error:
        tell(options, failure_payload(error), failure_lines(error, options.lang))
        return NO
    tell(options, _payload(verdict), _lines(verdict, options.lang))
    return OK


def _verify_receipt(options: argparse.Namespace, trust: TrustRoot) -> int:
    """A consent receipt: one signature, proved against the pinned keys."""
    try:
        with options.pack.open("rb") as file:
            data = file.read(receipts.MAX_BYTES + 1)
    except OSError as error:
        return cannot(options, str(error))
    try:
        found = receipts.verify(data, trust)
    except VerificationError as error:
        failure = {"verified": False, "code": error.code, "detail": error.detail}
        why = f"NOT VERIFIED receipt: {error.code} {reason(error.code, options.lang)}"
        tell(options, failure, [f"     {error.detail}", why])
        return NO
    approval, grant = found.receipt.approval, found.receipt.grant
    payload = {
        "verified": True,
        "mode": grant.mode,
        "receipt": approval.approval_id,
        "by": approval.by,
        "party_id": approval.party_id,
        "asserted_at": approval.asserted_at,
        "grant_digest": approval.grant_digest,
        "log_index": found.index,
        "until": grant.terms.end.isoformat(),
    }
    line = _RECEIPT[options.lang].format(
        who=refusals.party_label(approval.by, options.lang), **payload
    )
    tell(options, payload, [line] if grant.mode == "live" else [line, f"     {TEST[options.lang]}"])
    return OK


def _load(path: Path) -> Mapping[str, bytes]:
    """A container that cannot be read is a broken first step, not a usage error."""
    try:
        return packs.load(path)
    except VerificationError as error:
        first = Step(1, "files", (path.name,))
        raise StepError(first, path.name, (), error.code, error.detail) from error


def _lines(verdict: Verdict, lang: Locale) -> list[str]:
    lines = [passed(step, lang) for step in verdict.steps]
    if not verdict.lora_checked:
        lines.append(f"     {_WITHOUT_LORA[lang]}")
    if verdict.mode != "live":
        lines.append(f"     {TEST[lang]}")
    if verdict.use is not None:
        lines.append(f"     {_used(verdict.use, lang)}")
    standing = _IN_FORCE[lang]
    if verdict.standing != "in_force":
        standing = _ENDED[lang].format(code=verdict.standing)
    date = verdict.as_of.isoformat()
    return [*lines, _VERIFIED[lang].format(lora=verdict.lora_id, date=date, standing=standing)]


def _used(use: Mapping[str, Any], lang: Locale) -> str:
    outside = ", ".join(map(str, use["outside"]))
    covered = _OUTSIDE[lang].format(names=outside) if outside else _COVERED[lang]
    medium, quantity = use["medium"], use["quantity"]
    return _USED[lang].format(use=use["use_id"], medium=medium, quantity=quantity, covered=covered)


def _payload(verdict: Verdict) -> dict[str, Any]:
    return {
        "verified": True,
        "mode": verdict.mode,
        "standing": verdict.standing,
        "as_of": verdict.as_of.isoformat(),
        "redeemed_at": verdict.redeemed_at.isoformat(),
        "lora_id": verdict.lora_id,
        "delivery_id": verdict.delivery_id,
        "grant_id": verdict.grant.grant_id,
        "grant_digest": verdict.grant_digest,
        "file_sha256": verdict.file_sha256,
        "lora_checked": verdict.lora_checked,
        "use": None if verdict.use is None else dict(verdict.use),
        "terms": verdict.grant.terms.to_payload(),
        "steps": [{"number": s.number, "name": s.name, "ok": True} for s in verdict.steps],
    }


# --- inspect, trace -------------------------------------------------------------------------------


def _inspect(options: argparse.Namespace) -> int:
    try:
        shown = _claims_of(options.file)
    except (OSError, ValueError, VerificationError) as error:
        return cannot(options, str(error))
    lines = [f"{name}: {_plain(value)}" for name, value in shown.items()]
    tell(options, {"verified": None, "claims": shown}, [*lines, _NOTHING[options.lang]])
    return OK


def _claims_of(path: Path) -> dict[str, Any]:
    if path.is_dir() or path.suffix == ".zip":
        return verifier.inspect(packs.load(path))
    data = _read_lora(path)
    read = weights.read(data)
    counts = {"tensors": len(read.tensors), "modules": len(weights.adapters(read))}
    return {**read.metadata, **counts, "tensor_sha256": weights.tensor_sha256(data)}


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _trace(options: argparse.Namespace) -> int:
    # Only here: whoever verifies offline loads no network code.
    from audit import client  # noqa: PLC0415

    key = options.key or os.environ.get("KYODAKU_API_KEY", "")
    try:
        data = _merged(options) if options.base else _read_lora(options.file)
        answer = client.trace(options.url, key, data, options.lang)
    except (OSError, client.ClientError) as error:
        return cannot(options, str(error))
    except VerificationError as error:
        return cannot(options, f"{reason(error.code, options.lang)} ({error.code}: {error.detail})")
    tell(options, answer, [str(answer["sentence"])])
    return OK if answer["found"] else NO


def _merged(options: argparse.Namespace) -> bytes:
    """What was merged into a checkpoint, as the file of a LoRA: only that leaves this machine."""
    from training.core import difference  # noqa: PLC0415 - numpy, for this alone

    def tell(done: int, total: int) -> None:
        if done == total or done % 50 == 0:
            sys.stderr.write(f"\r{done}/{total}")
            sys.stderr.flush()

    found = difference.lora_file(options.file, options.base, progress=tell)
    sys.stderr.write("\n")
    return found


# --- curate, calibrate ----------------------------------------------------------------------------


def _curate(options: argparse.Namespace) -> int:
    from training.desk import curate  # noqa: PLC0415 - only here: it loads ONNX Runtime

    return curate.curate(options)


def _calibrate(options: argparse.Namespace) -> int:
    from training.desk import curate  # noqa: PLC0415

    return curate.calibrate(options)


# --- small things ---------------------------------------------------------------------------------


def _read_lora(path: Path) -> bytes:
    if path.stat().st_size > _MAX_LORA:
        raise OSError(f"{path.name} is too large for a LoRA")
    return path.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
