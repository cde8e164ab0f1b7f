"""What a key signs when the outputs of a LoRA are approved (校了). Between stages 7 and 8."""

from __future__ import annotations

from typing import Final

from registry.log.core import canonical

FORMAT: Final = "kyodaku/output-approval/v1"


def challenge(
    *, lora_id: str, tensor_sha256: str, samples: str, party_id: str, by: str, nonce: str
) -> bytes:
    """32 bytes: this adapter by its tensors, this grid by its sealed object, and who says so.

    `nonce` is drawn when the person is asked. A context of its own: never an approval of a grant.
    """
    said = {"lora_id": lora_id, "tensor_sha256": tensor_sha256, "samples": samples}
    return canonical.digest(FORMAT, {**said, "party_id": party_id, "by": by, "nonce": nonce})
