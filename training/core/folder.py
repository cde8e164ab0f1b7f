"""The delivered folder and the parcel it travels in: names, rules, the page for people (stage 8).

A parcel is an archive of two files: the folder as an archive, encrypted to its recipient, and the
proof that the delivery stands in the log. The proof lies outside the folder: everything in the
folder is under one signature, which is older than the proof. Trusts nothing; what the files say is
verified by `audit.verifier.folder`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from registry.log.core.errors import VerificationError
from training.core import archive
from training.core.archive import malformed
from training.core.model_signature import PUBLIC_KEY, SIGNATURE

DELIVERY: Final = "delivery.dsse.json"
RUN: Final = "run.dsse.json"
README: Final = "README.txt"
PROOF_SUFFIX: Final = ".tlog-proof"
# Always there, besides the adapter; nothing else but its C2PA sidecar may be.
FIXED: Final = frozenset({DELIVERY, RUN, README, PUBLIC_KEY, SIGNATURE})
MAX_PAGE_BYTES: Final = 2**20
_ADAPTER: Final = re.compile(r"(lor_[0-9a-f]{20})\.safetensors")
_PARCEL: Final = re.compile(r"(dlv_[0-9a-f]{20})\.zip\.(age|hpke)")

_PAGE: Final = """\
{lora_id}   納品 / delivery {delivery_id}

この納品物は、人物の許諾にもとづいて学習されたLoRAです。納品先ごとに固有の透かしが入っています。
使える範囲は許諾の条件どおりです。許諾にないかぎり、第三者への譲渡や再配布はできません。
This is a LoRA of real people, trained under their consent and marked for its recipient alone. It
may be used as its grant says, and passed on to nobody unless that says so.
  許諾 / grant  {grant_digest}

使い方 / How to use
  A1111, Forge:  {lora_id}.safetensors を models/Lora に置き、<lora:{lora_id}:1> と書く
  ComfyUI:       models/loras に置き、Load LoRA で選ぶ / put it there and choose it in Load LoRA
  diffusers:     pipe.load_lora_weights("{delivery_id}", weight_name="{lora_id}.safetensors")

確かめ方 / How to check it
  kyodaku verify {delivery_id} --trust trust.json
  (隣に置いた {delivery_id}.tlog-proof も調べます / reads the proof that lies beside the folder)
  model_signing verify key {delivery_id} --signature {delivery_id}/{signature} --public_key {key}
  {key} は {site}/model.pub のものと同じか確かめる / compare it with the site's own

中身 / What is in it
  {lora_id}.safetensors   LoRA (kohya の名前、または PEFT の名前 / named as kohya does, or PEFT)
  {run}           学習の記録 / how it was trained (in-toto, SLSA; worker and registry signed)
  {delivery}      納品の記録 / to whom it went (in-toto; the registry signed)
  {lora_id}.c2pa   C2PA の記録 / its C2PA manifest
  {signature}, {key}    フォルダー全体の署名とその鍵 / the signature over the folder, its key
"""


def page(*, lora_id: str, delivery_id: str, grant_digest: str, site: str) -> bytes:
    """README.txt. Names nobody; `site` is the registry's address."""
    text = _PAGE.format(
        lora_id=lora_id,
        delivery_id=delivery_id,
        grant_digest=grant_digest,
        site=site.rstrip("/"),
        signature=SIGNATURE,
        key=PUBLIC_KEY,
        run=RUN,
        delivery=DELIVERY,
    )
    return text.encode()


def adapter_name(lora_id: str) -> str:
    """The weights' file: what A1111 shows, and a delivery statement's subject."""
    return f"{lora_id}.safetensors"


def sidecar_name(lora_id: str) -> str:
    """The C2PA manifest of the weights' file."""
    return f"{lora_id}.c2pa"


def lora_of(names: Iterable[str]) -> str:
    """The id of the LoRA whose folder has these names.

    Raises `VerificationError("malformed")`, which names the first file too many or missing.
    """
    names = set(names)
    adapters = [found[1] for name in sorted(names) if (found := _ADAPTER.fullmatch(name))]
    if len(adapters) != 1:
        raise malformed(f"{len(adapters)} LoRA files (lor_….safetensors), not one")
    (lora_id,) = adapters
    expected = FIXED | {adapter_name(lora_id)}
    if extra := sorted(names - expected - {sidecar_name(lora_id)}):
        raise malformed(f"{extra[0][:80]!r} does not belong to the folder")
    if missing := sorted(expected - names):
        raise malformed(f"{missing[0]} is missing")
    return lora_id


def pack(files: Mapping[str, bytes]) -> bytes:
    """The folder as an archive. Raises `VerificationError("malformed")`."""
    _check_folder(files)
    return archive.write(files)


def unpack(data: bytes) -> dict[str, bytes]:
    """The folder in an archive. Raises `VerificationError("malformed")`."""
    return archive.read(data, _check_folder)


def _check_folder(files: Mapping[str, bytes]) -> None:
    adapter = adapter_name(lora_of(files))
    for name, data in files.items():
        if name != adapter and len(data) > MAX_PAGE_BYTES:
            raise malformed(f"{name} is larger than {MAX_PAGE_BYTES} bytes")


def parcel_pack(delivery_id: str, kind: str, sealed: bytes, proof: str) -> bytes:
    """What a link hands out. `kind` is the ending of an encrypted file: `age` or `hpke`."""
    files = {f"{delivery_id}.zip.{kind}": sealed, delivery_id + PROOF_SUFFIX: proof.encode()}
    return archive.write(files)


def parcel_unpack(data: bytes) -> tuple[str, bytes, bytes]:
    """(delivery id, encrypted folder, proof). Raises `VerificationError("malformed")`."""
    files = archive.read(data, _check_parcel)
    (sealed,) = (name for name in files if _PARCEL.fullmatch(name))
    delivery_id = sealed.split(".")[0]
    return delivery_id, files[sealed], files[delivery_id + PROOF_SUFFIX]


def is_parcel(data: bytes) -> bool:
    """Whether the file is a parcel, of whatever delivery."""
    try:
        parcel_unpack(data)
    except VerificationError:
        return False
    return True


def _check_parcel(files: Mapping[str, bytes]) -> None:
    sealed = [match for name in files if (match := _PARCEL.fullmatch(name))]
    if len(sealed) != 1 or set(files) != {sealed[0][0], sealed[0][1] + PROOF_SUFFIX}:
        raise malformed("not a parcel: an encrypted folder and its proof")
    if len(files[sealed[0][1] + PROOF_SUFFIX]) > MAX_PAGE_BYTES:
        raise malformed(f"a proof larger than {MAX_PAGE_BYTES} bytes")
