"""An upgrade as docs/operations.md tells it: every process is replaced, and the run goes on."""

import threading

import pytest

from mailer.models import Audit
from mailer.tests.factories import make_mailing

from .inbox import Inbox
from .processes import Site, wait_until
from .test_main_job import check, start, wait_finished

pytestmark = [pytest.mark.system, pytest.mark.one_server, pytest.mark.timeout(240)]


def test_every_process_is_replaced_in_the_middle_of_a_run(site: Site, inbox: Inbox) -> None:
    slow = threading.Event()
    inbox.before_reply = lambda _address: slow.wait(0.03) and None
    control, beat = site.start_control(), site.start_beat()
    workers = [site.start_worker(), site.start_worker()]
    run = start(site, make_mailing(recipients=2000))
    wait_until(lambda: len(inbox.accepted) > 50, what="the run is under way")

    site.manage("migrate", "--no-input")
    site.stop(control), site.start_control()
    site.stop(beat), site.start_beat()
    for worker in workers:
        site.stop(worker), site.start_worker()
        so_far = len(inbox.accepted)
        wait_until(lambda n=so_far: len(inbox.accepted) > n + 50, what="the run goes on")
    run.refresh_from_db()
    assert run.state == "sending", "it was over before everything was replaced"
    inbox.before_reply = lambda _address: None

    wait_finished(run, site=site)
    assert run.sent == 2000
    assert not Audit.objects.filter(run=run, action=Audit.Action.TAKE_OVER).exists()
    check(run, inbox)
