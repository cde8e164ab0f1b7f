"""Requests, approvals, withdrawals and keys over HTTP: parse, access, one service, answer.

Stages 1 to 3 as photographers' systems and machine parties use them. A challenge is answered with a
real WebAuthn assertion, whoever sends it; an API key alone can sign nothing.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from registry import selectors
from registry.api import present, problems
from registry.api.base import ApiView, Caller, Input, caller, idempotent, parsed
from registry.core import requests as rules
from registry.core import wording
from registry.core.refusals import Refusal
from registry.core.terms import Problem, Terms, explicit_items, parse
from registry.core.vocabulary import TEXT_LOCALES
from registry.models import (
    Organisation,
    Person,
    Talent,
    TrainingRequest,
)
from registry.services import answers, approvals, parties, requests, welfare

MAX_PAGE: Final = 100
_OBJECT: Final = OpenApiTypes.OBJECT


class RequestInput(Input):
    """A new training request. `terms` and `recipe` are the objects that end up in the grant."""

    kind = serializers.CharField(default="person", max_length=40)

    requester = serializers.CharField(required=False, max_length=24)
    licensee = serializers.CharField(max_length=24)
    talents = serializers.ListField(child=serializers.CharField(max_length=24), max_length=20)
    copyright_holder = serializers.CharField(required=False, max_length=24)
    base_model = serializers.CharField(max_length=24)
    terms = serializers.DictField()
    recipe = serializers.DictField()
    max_runs = serializers.IntegerField(default=1)
    sign_by = serializers.DateTimeField()


class ChallengeInput(Input):
    """Which grant is to be approved, in which capacity."""

    grant = serializers.CharField(max_length=24)
    by = serializers.CharField(max_length=16)
    # What was ticked one by one, in the words of `registry.core.terms.explicit_items`.
    ticks = serializers.ListField(
        child=serializers.CharField(max_length=60), required=False, max_length=300
    )
    # "I was pressed": the answer is the same with and without it.
    pressed = serializers.BooleanField(required=False, default=False)


class SignatureInput(Input):
    """The answer of `navigator.credentials.get` or `.create`, as `toJSON()` gives it."""

    challenge_id = serializers.CharField(max_length=24)
    response = serializers.DictField()


class EnrolmentInput(SignatureInput):
    """A new key, with the name its owner gives it."""

    # A field that is called like an attribute of every serializer; DRF takes it out of the class.
    label = serializers.CharField(  # type: ignore[assignment]
        required=False, allow_blank=True, max_length=60
    )


class ReasonInput(Input):
    """Why; never needed. What a talent says is for the platform alone unless she shares it."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    share_reason = serializers.BooleanField(required=False, default=False)
    pressed = serializers.BooleanField(required=False, default=False)


class RefuseInput(ReasonInput):
    """In which capacity somebody says no."""

    by = serializers.CharField(max_length=16)


class AmendInput(Input):
    """What is to change of a request; absent members stay."""

    terms = serializers.DictField(required=False)
    sign_by = serializers.DateTimeField(required=False)


class RemarkInput(Input):
    """One thing to change: a field of `registry.core.cases.REMARK_FIELDS`, and what."""

    field = serializers.CharField(max_length=20)
    text = serializers.CharField(max_length=1000)


class ReturnInput(Input):
    """A change asked for."""

    by = serializers.CharField(max_length=16)
    remarks = RemarkInput(many=True)
    pressed = serializers.BooleanField(required=False, default=False)


class CounterInput(Input):
    """Less than was asked: whole terms, and ids of pictures to leave out."""

    by = serializers.CharField(max_length=16)
    terms = serializers.DictField()
    left_out = serializers.ListField(
        child=serializers.CharField(max_length=24), required=False, default=list, max_length=200
    )
    pressed = serializers.BooleanField(required=False, default=False)


class Requests(ApiView):
    """The requests that the caller may see, and filing a new one."""

    @extend_schema(
        responses=_OBJECT,
        parameters=[
            OpenApiParameter("limit", int, description="1 to 100, 50 if absent"),
            OpenApiParameter("before", str, description="the `next` of the page before"),
        ],
    )
    def get(self, request: Request) -> Response:
        """Newest first; `next` is the `before` of the page after."""
        rows = selectors.requests_for(caller(request).person)
        last = rows.filter(id=request.query_params.get("before", "")).first()
        if last is not None:
            same = Q(created_at=last.created_at, id__gt=last.id)
            rows = rows.filter(Q(created_at__lt=last.created_at) | same)
        limit = _limit(request)
        page = list(rows[: limit + 1])
        more = len(page) > limit
        items = [present.request_line(row) for row in page[:limit]]
        return Response({"items": items, "next": page[limit - 1].id if more else None})

    @extend_schema(
        request=RequestInput,
        responses={200: _OBJECT, 201: _OBJECT},
        parameters=[OpenApiParameter("dry_run", bool, description="1: check only, file nothing")],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """File a request: 201 with its address, or every reason why not.

        With `?dry_run=1` nothing is filed or logged; 200 says who would have to approve.
        """
        who, given = caller(request), parsed(RequestInput, request)
        refusal = rules.kind_refusal(given["kind"])
        if refusal is not None:
            return problems.refused(refusal, instance=request.path)
        found = _looked_up(who, given)
        if isinstance(found, list):
            return problems.refused(found, instance=request.path)
        if request.query_params.get("dry_run") in {"1", "true"}:
            return _dry_run(request, who, found)
        row = requests.request_submit(by=who.person, **found)
        if not isinstance(row, TrainingRequest):
            return problems.refused(row, instance=request.path)
        response = Response(present.request(row, who.person), status=201)
        response["Location"] = f"{request.path}/{row.id}"
        return response


def _dry_run(request: Request, who: Caller, found: dict[str, Any]) -> Response:
    holder = found.pop("copyright_holder")
    missing = requests.request_check(by=who.person, **found)
    if missing:
        return problems.refused(missing, instance=request.path)
    lanes = selectors.expected_parties(found["talents"], holder, timezone.now())
    terms, runs = found["terms"], found["max_runs"]
    text = {
        locale: wording.render(terms, locale, pictures=0, max_runs=runs) for locale in TEXT_LOCALES
    }
    answer = {"dry_run": True, "must_approve": lanes, "ticks": explicit_items(terms), "text": text}
    return Response(answer)


def _looked_up(who: Caller, given: dict[str, Any]) -> dict[str, Any] | list[Problem]:
    """The rows behind the ids; what does not exist is named by its field."""
    wanted = given["talents"]
    talents = list(Talent.objects.filter(id__in=wanted))
    licensee = Organisation.objects.filter(id=given["licensee"]).first()
    base = selectors.base_models().filter(id=given["base_model"]).first()
    holder = Person.objects.filter(id=given.get("copyright_holder", who.person.id)).first()
    missing = {
        "talents": len(talents) == len(wanted) or None,
        "licensee": licensee,
        "base_model": base,
        "copyright_holder": holder,
    }
    found = [_unknown(name) for name, value in missing.items() if value is None]
    terms = parse(given["terms"])
    if not isinstance(terms, Terms):
        return [*found, *terms]
    if found:
        return found
    return {
        "requester": _requester(who, given),
        "licensee": licensee,
        "talents": talents,
        "copyright_holder": holder,
        "base_model": base,
        "terms": terms,
        "recipe": given["recipe"],
        "max_runs": given["max_runs"],
        "sign_by": given["sign_by"],
    }


def _requester(who: Caller, given: dict[str, Any]) -> Organisation:
    """The organisation that asks: the API key's, or the one named if the person acts for it."""
    if "requester" in given:
        return selectors.access_organisation(person=who.person, organisation_id=given["requester"])
    if who.organisation is not None:
        return who.organisation
    own = list(selectors.houses_of(who.person, "ask")[:2])
    if len(own) != 1:
        raise serializers.ValidationError({"requester": ["name the organisation that asks"]})
    return own[0]


def _unknown(field: str) -> Problem:
    return Problem(field, "見つかりません。", "There is no such thing.")


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "50")
    if len(text) > 4 or not text.isdecimal() or not 1 <= int(text) <= MAX_PAGE:
        raise serializers.ValidationError({"limit": [f"1 to {MAX_PAGE}"]})
    return int(text)


class RequestDetail(ApiView):
    """One request."""

    @extend_schema(responses=_OBJECT)
    def get(self, request: Request, request_id: str) -> Response:
        """The request with its grant: digest, text in both languages, and every lane."""
        row = selectors.access_request(person=caller(request).person, request_id=request_id)
        return Response(present.request(row, caller(request).person))

    @extend_schema(request=AmendInput, responses=_OBJECT)
    def patch(self, request: Request, request_id: str) -> Response:
        """Change terms or deadline while nothing is asked; sealing asks for the new content."""
        who, given = caller(request), parsed(AmendInput, request)
        row = selectors.access_own_request(person=who.person, request_id=request_id)
        terms = parse(given["terms"]) if "terms" in given else None
        if isinstance(terms, list):
            return problems.refused(terms, instance=request.path, status=422)
        done = answers.request_amend(
            request=row, by=who.person, terms=terms, sign_by=given.get("sign_by")
        )
        if isinstance(done, list):
            return problems.refused(done, instance=request.path)
        return Response(present.request(done, caller(request).person))


class Talents(ApiView):
    """Who can be asked."""

    @extend_schema(responses=_OBJECT)
    def get(self, request: Request) -> Response:
        """Ids, names and the agency of today; no birth dates, no wishes."""
        return Response({"items": [present.talent(row) for row in selectors.talents()]})


class BaseModels(ApiView):
    """What can be trained on."""

    @extend_schema(responses=_OBJECT)
    def get(self, request: Request) -> Response:
        """The base models on record, each with its licence as read on a day."""
        return Response({"items": [present.base_model(row) for row in selectors.base_models()]})


class ApprovalChallenge(ApiView):
    """The first half of signing."""

    @extend_schema(request=ChallengeInput, responses=_OBJECT)
    def post(self, request: Request) -> Response:
        """`{challenge_id, options}` for `navigator.credentials.get`."""
        who, given = caller(request), parsed(ChallengeInput, request)
        grant = selectors.access_grant(person=who.person, grant_id=given["grant"])
        begun = approvals.approval_begin(
            person=who.person,
            grant=grant,
            by=given["by"],
            ticks=given.get("ticks", ()),
            pressed=given["pressed"],
        )
        return _answer(request, begun)


class StopChallenge(ApiView):
    """The first half of ending one's own emergency stop."""

    @extend_schema(request=None, responses=_OBJECT)
    def post(self, request: Request) -> Response:
        """`{challenge_id, options}`: going on is a yes, so it needs a key."""
        return _answer(request, welfare.lift_begin(person=_in_person(request)))


class StopLift(ApiView):
    """The second half."""

    @extend_schema(request=SignatureInput, responses=_OBJECT)
    def post(self, request: Request) -> Response:
        """End the stop, if the assertion verifies."""
        person, given = _in_person(request), parsed(SignatureInput, request)
        lifted = welfare.lift_finish(person=person, **given)
        if isinstance(lifted, Refusal):
            return problems.refused(lifted, instance=request.path)
        return Response({"holds_again": lifted})


class Approvals(ApiView):
    """The second half of signing."""

    @extend_schema(request=SignatureInput, responses={201: _OBJECT})
    def post(self, request: Request) -> Response:
        """Store the approval, if the assertion verifies; the last one makes the grant."""
        who, given = caller(request), parsed(SignatureInput, request)
        approval = approvals.approval_finish(person=who.person, **given)
        if isinstance(approval, Refusal):
            return problems.refused(approval, instance=request.path)
        return Response(present.approval(approval), status=201)


class Withdraw(ApiView):
    """Withdrawal: as easy as consent."""

    @extend_schema(request=ReasonInput, responses=_OBJECT)
    def post(self, request: Request, grant_id: str) -> Response:
        """End the grant at once. Answers the same when it was done before."""
        who, given = caller(request), parsed(ReasonInput, request)
        grant = selectors.access_grant(person=who.person, grant_id=grant_id)
        done = approvals.approval_withdraw(person=who.person, grant=grant, **given)
        return _ended(request, grant_id, done)


class Refuse(ApiView):
    """Saying no before signing."""

    @extend_schema(request=RefuseInput, responses=_OBJECT)
    def post(self, request: Request, grant_id: str) -> Response:
        """Refuse in one's own capacity; the reason stays in the registry."""
        who, given = caller(request), parsed(RefuseInput, request)
        grant = selectors.access_grant(person=who.person, grant_id=grant_id)
        done = approvals.approval_refuse(person=who.person, grant=grant, **given)
        return _ended(request, grant_id, done)


class Return(ApiView):
    """Asking for a change before signing."""

    @extend_schema(request=ReturnInput, responses=_OBJECT)
    def post(self, request: Request, grant_id: str) -> Response:
        """Nobody can sign this content any more; the requester changes it and asks again."""
        who, given = caller(request), parsed(ReturnInput, request)
        grant = selectors.access_grant(person=who.person, grant_id=grant_id)
        done = answers.answer_return(person=who.person, grant=grant, **given)
        return _ended(request, grant_id, done)


class Counter(ApiView):
    """Offering less."""

    @extend_schema(request=CounterInput, responses=_OBJECT)
    def post(self, request: Request, grant_id: str) -> Response:
        """Only narrower terms; nothing is signed by it."""
        who, given = caller(request), parsed(CounterInput, request)
        grant = selectors.access_grant(person=who.person, grant_id=grant_id)
        terms = parse(given.pop("terms"))
        if isinstance(terms, list):
            return problems.refused(terms, instance=request.path, status=422)
        done = answers.answer_counter(person=who.person, grant=grant, terms=terms, **given)
        return _ended(request, grant_id, done)


def _ended(request: Request, grant_id: str, done: Refusal | None) -> Response:
    if done is not None:
        return problems.refused(done, instance=request.path)
    grant = selectors.access_grant(person=caller(request).person, grant_id=grant_id)
    return Response(present.grant(grant, caller(request).person))


class CredentialOptions(ApiView):
    """The first half of enrolling a key."""

    @extend_schema(request=None, responses=_OBJECT)
    def post(self, request: Request) -> Response:
        """`{challenge_id, options}` for `navigator.credentials.create`."""
        return Response(parties.credential_enrol_begin(person=_in_person(request)))


class Credentials(ApiView):
    """The second half of enrolling a key."""

    @extend_schema(request=EnrolmentInput, responses={201: _OBJECT})
    def post(self, request: Request) -> Response:
        """Enrol the caller's own key; nobody else's can be."""
        person, given = _in_person(request), parsed(EnrolmentInput, request)
        made = parties.credential_enrol_finish(person=person, **given)
        if isinstance(made, Refusal):
            return problems.refused(made, instance=request.path)
        return Response(present.credential(made), status=201)


def _in_person(request: Request) -> Person:
    """Whoever enrols a key. In live mode nobody by API key: it lies on servers, and whoever found
    it there could enrol a key of their own and approve with it. Raises `PermissionDenied`."""
    who = caller(request)
    if settings.KYODAKU_MODE != "test" and who.organisation is not None:
        raise PermissionDenied
    return who.person


def _answer(request: Request, found: dict[str, Any] | Refusal) -> Response:
    if isinstance(found, Refusal):
        return problems.refused(found, instance=request.path)
    return Response(found)
