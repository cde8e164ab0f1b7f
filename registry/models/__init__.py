"""The registry's tables: who people are, what they were asked, what they signed. No workflow."""

from registry.models.api import IdempotencyKey
from registry.models.catalogue import (
    LicenceRegistration,
    LicenseeDeclaration,
    ModelPart,
    ModelRecord,
    ModelRevision,
)
from registry.models.clearance import (
    Approval,
    Challenge,
    Grant,
    Lane,
    SeenProof,
    Token,
    TrainingRequest,
)
from registry.models.holds import GrantHold
from registry.models.notes import EmergencyStop, PrivateNote, Review
from registry.models.parties import (
    ApiKey,
    Credential,
    Guardianship,
    KeyShare,
    Membership,
    Organisation,
    Person,
    Representation,
    Talent,
)
from registry.models.rights import Mandate, RightsHolder, Work

__all__ = [
    "ApiKey",
    "Approval",
    "Challenge",
    "Credential",
    "EmergencyStop",
    "Grant",
    "GrantHold",
    "Guardianship",
    "IdempotencyKey",
    "KeyShare",
    "Lane",
    "LicenceRegistration",
    "LicenseeDeclaration",
    "Mandate",
    "Membership",
    "ModelPart",
    "ModelRecord",
    "ModelRevision",
    "Organisation",
    "Person",
    "PrivateNote",
    "Representation",
    "Review",
    "RightsHolder",
    "SeenProof",
    "Talent",
    "Token",
    "TrainingRequest",
    "Work",
]
