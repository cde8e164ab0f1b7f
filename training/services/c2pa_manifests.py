"""C2PA manifests: inside a picture that the platform drew, beside a LoRA that it delivers.

Stages 7 and 8. Signs with the registry's C2PA identity (`c2pa.pem`: key and certificates). Others
show it as "untrusted" until an operator puts a certificate of the C2PA trust list there; we verify
against our own chain. Names nobody: a LoRA's id, a digest, the log's name.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Any, Final

import c2pa  # type: ignore[import-untyped]
from cryptography import x509
from django.conf import settings

from registry.services import keyring
from training.models import Lora

ASSERTION: Final = "org.kyodaku.lora"
_CREATED: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_PNG: Final = "image/png"
_FILE: Final = "application/octet-stream"
_READABLE: Final = {"PNG": _PNG, "JPEG": "image/jpeg", "WEBP": "image/webp"}


def picture(lora: Lora, png: bytes, marks: Iterable[int], algorithm: str) -> tuple[bytes, bytes]:
    """(the PNG with its manifest, the manifest alone). `marks` are soft bindings, by their ids."""
    bound = [{"scope": {}, "value": f"{mark:08x}"} for mark in marks]
    more = [{"label": "c2pa.soft-binding", "data": {"alg": algorithm, "blocks": bound}}]
    out = io.BytesIO()
    builder = _builder(lora, _PNG, more if bound else [])
    manifest = builder.sign(_signer(), _PNG, io.BytesIO(png), out)
    return out.getvalue(), bytes(manifest)


def sidecar(lora: Lora, data: bytes) -> bytes:
    """The manifest of a LoRA file, which stays as it is: safetensors has no place for one."""
    builder = _builder(lora, _FILE, [])
    builder.set_no_embed()
    return bytes(builder.sign(_signer(), _FILE, io.BytesIO(data), io.BytesIO()))


def lora_in(data: bytes, form: str, manifest: bytes | None = None) -> str | None:
    """The LoRA that a picture's manifest names, if we signed it and the pixels are as they were.

    `form` is Pillow's name of the format, or "" for a file with a sidecar (`manifest`). None for
    anything else: no manifest, a stranger's, a changed picture.
    """
    kind = _READABLE.get(form, _FILE)
    try:
        reader = c2pa.Reader(kind, io.BytesIO(data), manifest, context=_context())
        told = json.loads(reader.json())
    except c2pa.C2paError:
        return None
    if told.get("validation_state") != "Trusted":
        return None
    active = told["manifests"][told["active_manifest"]]
    # Under a public root others sign, too: it has to be our own certificate.
    signed = active.get("signature_info", {}).get("cert_serial_number")
    if signed != str(_own_certificate().serial_number):
        return None
    for assertion in active.get("assertions", ()):
        if assertion.get("label") == ASSERTION:
            return str(assertion["data"].get("lora", ""))
    return None


def _builder(lora: Lora, form: str, more: list[dict[str, Any]]) -> Any:
    named = {
        "lora": lora.pk,
        "grant_digest": lora.job.grant.digest,
        "log_origin": settings.LOG_ORIGIN,
    }
    created = {"actions": [{"action": "c2pa.created", "digitalSourceType": _CREATED}]}
    manifest = {
        "claim_generator_info": [{"name": "kyodaku"}],
        "format": form,
        "title": lora.pk,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": created},
            *more,
            {"label": ASSERTION, "data": named},
        ],
    }
    return c2pa.Builder(manifest, context=_context())


def _own_certificate() -> x509.Certificate:
    _, chain = keyring.c2pa_identity()
    return x509.load_pem_x509_certificates(chain)[0]


def _signer() -> Any:
    key, chain = keyring.c2pa_identity()
    return c2pa.Signer.from_callback(key.sign, c2pa.C2paSigningAlg.ED25519, chain.decode(), None)


def _context() -> Any:
    """No thumbnails (they would be pictures outside the vault); only our own chain is trusted."""
    _, chain = keyring.c2pa_identity()
    return c2pa.Context.from_dict(
        {
            "builder": {"thumbnail": {"enabled": False}},
            "trust": {"trust_anchors": chain.decode()},
            "verify": {"verify_trust": True, "ocsp_fetch": False, "remote_manifest_fetch": False},
        }
    )
