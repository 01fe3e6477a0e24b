"""Listeners who press at the same moment; run as a program, over a database of their own.

Threads here have one connection each, as the threads and processes of a web server do.
"""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

N_THREADS = 8


def together(jobs):
    """Run all jobs at one moment, each in its own thread; their results, or the names of their errors."""
    from django.db import connections

    barrier = threading.Barrier(len(jobs))

    def run(job):
        barrier.wait()
        try:
            return job()
        except Exception as error:
            return type(error).__name__
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def press_together() -> dict:
    """Start, rate and withdraw in parallel; count what the database has afterwards."""
    from studies.listening.clock import compressed
    from studies.listening.models import Participant, Rating, Session, Trial, Withdrawal
    from studies.listening.selectors import current_trial
    from studies.listening.services import record_rating, withdraw
    from tests.studies.factories import begin, hear, make_study, sit_through

    study = make_study("together", trials=6, pieces=5, practice=0, repeats=0, checks=0)
    same = together([lambda: begin(study, external_id="P1", start_key="one page").pk] * N_THREADS)
    Participant.objects.all().delete()
    different = together([lambda: begin(study).pk] * N_THREADS * 2)
    heard = Counter(
        Trial.objects.filter(kind="main")
        .exclude(item__condition__name="scrambled")
        .values_list("item", flat=True)
    )
    session = Session.objects.get(pk=different[0])

    def rate(value):
        trial = Trial.objects.select_related("session").get(pk=first)
        return record_rating(trial=trial, value=value, response_time_ms=1).value

    with compressed() as clock:
        sit_through(session, clock, until="rating")
        trial = current_trial(session)
        trial.session, first = session, trial.pk
        hear(trial, clock)
    rated = together([lambda value=value: rate(value) for value in range(1, N_THREADS + 1)])
    stands_at = current_trial(Session.objects.get(pk=session.pk)).position
    code = session.participant.withdrawal_code
    gone = together([lambda: withdraw(study=study, code=code)] * 4)
    return {
        "sessions_of_one_listener": len(set(same)),
        "errors": sorted({str(result) for result in same + different + rated if isinstance(result, str)}),
        "started": len(set(different)),
        "heard_spread": max(heard.values()) - min(heard.values()),
        "pieces_heard": len(heard),
        "ratings_that_stand": sorted(set(rated)),
        "ratings_stored_before": Rating.objects.filter(trial_id=first).count(),
        "first_position": trial.position,
        "stands_at": stands_at,
        "withdrawals": Withdrawal.objects.count(),
        "withdrawn_twice": sum(result == "UnknownCode" for result in gone),
        "participants_left": Participant.objects.count(),
    }


def main() -> None:
    """Make the database, press, print."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    print(json.dumps(press_together()))


if __name__ == "__main__":
    main()
