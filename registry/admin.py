"""Django's admin, read-only: an operator looks, the services alone change anything."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from registry import models
from registry.log import models as log_models

if TYPE_CHECKING:
    # Django's admin classes are generic for the type checker only.
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class ReadOnly(_ModelAdmin):
    """Shows rows; every change would go past the log."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False


SHOWN = [
    models.Approval,
    models.Credential,
    models.Grant,
    models.GrantHold,
    models.Guardianship,
    models.Lane,
    models.LicenceRegistration,
    models.LicenseeDeclaration,
    models.Membership,
    models.ModelRecord,
    models.ModelRevision,
    models.Organisation,
    models.Person,
    models.Representation,
    models.Talent,
    models.TrainingRequest,
    log_models.Checkpoint,
    log_models.Entry,
]
admin.site.register(SHOWN, ReadOnly)
