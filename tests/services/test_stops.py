"""Emergency stops in committed rows: what happens while another transaction is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date
from typing import Any

from django.db import connection, connections, transaction
from django.utils import timezone

from registry.models import PrivateNote, Talent
from registry.services import parties, welfare
from tests.world import Human, World, human, state

WAIT_S = 20.0


def second_talent(world: World) -> Human:
    """Erin, who is in the same picture."""
    erin = human("erin")
    erin.enrol()
    parties.talent_create(person=erin.person, birth_date=date(1997, 5, 1))
    return erin


def meanwhile(work: Callable[[], Any], then: Callable[[], Any], *, yielding: bool) -> Any:
    """Do `work` in a transaction that stays open until `then` has ended; `yielding`: or waits."""
    done, open_, ended = [], threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                work()
                open_.set()
                while not ended.is_set() and not (yielding and _somebody_waits()):
                    ended.wait(0.02)
        finally:
            open_.set()
            connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert open_.wait(WAIT_S)
    try:
        done.append(then())
    finally:
        ended.set()
        thread.join(WAIT_S)
    return done[0]


def _somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def test_a_stop_that_comes_while_another_is_lifted_holds(live: World) -> None:
    erin = second_talent(live)
    grant = live.made()
    grant.request.talents.add(Talent.objects.get(person=erin.person))
    welfare.emergency_stop(person=live.alice.person)
    lifted = meanwhile(
        lambda: welfare.emergency_stop(person=erin.person),
        lambda: welfare.emergency_lift(person=live.alice.person),
        yielding=True,
    )
    assert lifted == []
    assert state(grant) == "paused"
    assert welfare.emergency_lift(person=erin.person) == [grant.id]
    assert state(grant) == "active"


def test_a_stop_that_comes_with_the_last_signature_holds(live: World) -> None:
    grant = live.asked()
    live.bob.approve(grant, "agency_officer")
    live.charlie.approve(grant, "photo_copyright")
    held = meanwhile(
        lambda: live.alice.approve(grant, "talent"),
        lambda: welfare.emergency_stop(person=live.alice.person),
        yielding=True,
    )
    assert held == [grant.id]
    assert state(grant) == "paused"


def test_a_stop_keeps_nobody_waiting_who_tells_the_platform_something(live: World) -> None:
    """Every answer writes such a row after it has locked the grant: waiting would be a circle."""
    live.made()

    def tell() -> PrivateNote:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '3s'")
            alice = live.alice.person
            return PrivateNote.objects.create(talent=live.talent, person=alice, at=timezone.now())

    told = meanwhile(lambda: welfare.emergency_stop(person=live.alice.person), tell, yielding=False)
    assert told.pk
