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
from registry.models.drafts import RequestDraft
from registry.models.holds import GrantHold
from registry.models.letters import AccessLink, Letter, Question, UsedForm
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
    StageName,
    Talent,
)
from registry.models.rights import Mandate, RightsHolder, Work
from registry.models.standing import (
    AgeAlarm,
    Confirmation,
    ContactPoint,
    Estate,
    HandOver,
    IdentityCheck,
    Notice,
    OrganisationBlock,
    RepresentationClaim,
)
from registry.models.throttle import Throttle

__all__ = [
    "AccessLink",
    "AgeAlarm",
    "ApiKey",
    "Approval",
    "Challenge",
    "Confirmation",
    "ContactPoint",
    "Credential",
    "EmergencyStop",
    "Estate",
    "Grant",
    "GrantHold",
    "Guardianship",
    "HandOver",
    "IdempotencyKey",
    "IdentityCheck",
    "KeyShare",
    "Lane",
    "Letter",
    "LicenceRegistration",
    "LicenseeDeclaration",
    "Mandate",
    "Membership",
    "ModelPart",
    "ModelRecord",
    "ModelRevision",
    "Notice",
    "Organisation",
    "OrganisationBlock",
    "Person",
    "PrivateNote",
    "Question",
    "Representation",
    "RepresentationClaim",
    "RequestDraft",
    "Review",
    "RightsHolder",
    "SeenProof",
    "StageName",
    "Talent",
    "Throttle",
    "Token",
    "TrainingRequest",
    "UsedForm",
    "Work",
]
