"""The addresses of the registry's pages."""

from __future__ import annotations

from django.contrib.auth import views as auth
from django.urls import URLPattern, path

from registry.views import (
    answers,
    catalogue,
    consents,
    drafts,
    home,
    keys,
    links,
    lists,
    login,
    matters,
    people,
    problems,
    receipts,
    wishes,
)

urlpatterns: list[URLPattern] = [
    path("", home.home, name="home"),
    path("login/", login.Login.as_view(), name="login"),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("problems/", problems.problems, name="problems"),
    path("problems/<slug:code>", problems.problem, name="problem"),
    path("agency/", lists.inbox, name="agency-inbox"),
    path("models/", catalogue.models, name="models"),
    path("models/<str:model_id>", catalogue.model, name="model"),
    path("agency/talents/", people.talents, name="agency-talents"),
    path("agency/talents/<str:talent_id>", people.talent, name="agency-talent"),
    path("members/", people.members, name="members"),
    path("members/<str:membership_id>/end", people.member_end, name="member-end"),
    path("members/hand-overs/<str:hand_over_id>", people.take_over, name="take-over"),
    path("my/matters", matters.matters, name="my-matters"),
    path("my/claims/<str:claim_id>", matters.claim_answer, name="claim-answer"),
    path("grants/<str:grant_id>/go-on", matters.go_on, name="go-on"),
    path("requests/", lists.requests, name="requests"),
    path("requests/new", drafts.drafts, name="request-new"),
    path("requests/new/<str:draft_id>/live", drafts.live, name="draft-live"),
    path("requests/new/<str:draft_id>/discard", drafts.discard, name="draft-discard"),
    path("requests/new/<str:draft_id>/check", drafts.check, name="draft-check"),
    path("requests/new/<str:draft_id>/<str:step>", drafts.step, name="draft-step"),
    path("my/", consents.consents, name="my-consents"),
    path("my/rules", wishes.wishes, name="my-rules"),
    path("my/keys", keys.keys, name="my-keys"),
    path("my/grants/<str:grant_id>/withdraw", consents.withdraw, name="withdraw"),
    path("my/private", answers.private, name="private"),
    path("my/stop", answers.stop, name="stop"),
    path("grants/<str:grant_id>/refuse", consents.refuse, name="refuse"),
    path("grants/<str:grant_id>/ask", answers.ask, name="ask"),
    path("questions/<str:question_id>/reply", answers.reply, name="reply"),
    path("remind", answers.remind, name="remind"),
    path("letters/<str:letter_id>/again", answers.resend, name="resend"),
    path("operator/flags", answers.flags, name="flags"),
    path("operator/flags/<int:note_id>", answers.flag_settle, name="flag-settle"),
    path("l/<str:token>", links.opened, name="link"),
    path("l/<str:token>/<str:grant_id>/<str:action>", links.act, name="link-act"),
    path("grants/<str:grant_id>/receipt", consents.receipt, name="receipt"),
    path(
        "grants/<str:grant_id>/receipt/<str:by>.<str:form>",
        receipts.receipt_file,
        name="receipt-file",
    ),
]
