"""Every kind of page against axe-core: nothing serious, light and dark, desktop and phone."""

import os
from typing import Any, Literal

# Playwright keeps an event loop in this thread, and Django would take our queries for its own.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_results.models import TaskResult
from playwright.sync_api import Page

from mailer.engine.sender import Outcome
from mailer.models import Batch, Delivery, Relay, Run
from mailer.tests.factories import make_mailing, make_recipient, make_run, subscribe

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

LISTS = (
    "mailer/mailing/", "mailer/message/", "mailer/run/", "mailer/delivery/", "mailer/mailinglist/",
    "mailer/recipient/", "mailer/subscription/", "mailer/suppression/", "mailer/batch/",
    "mailer/relay/", "mailer/domainlimit/", "mailer/audit/", "auth/user/", "auth/group/",
    "django_celery_results/taskresult/", "django_celery_beat/periodictask/",
)  # fmt: skip
ADDS = (
    "auth/user/", "auth/group/", "django_celery_beat/crontabschedule/",
    "mailer/mailing/", "mailer/message/", "mailer/recipient/", "mailer/relay/",
    "mailer/domainlimit/", "mailer/mailinglist/", "mailer/subscription/", "mailer/suppression/",
    "django_celery_beat/periodictask/",
)  # fmt: skip


@pytest.fixture
def addresses(transactional_db: None) -> list[str]:
    """Home, lists, forms, and the page of one of each; a run with every kind of outcome."""
    mailing = make_mailing(name="Weekly news", recipients=4, enabled=True)
    run = make_run(mailing=mailing)
    states = {1: Outcome.SENT, 2: Outcome.FAILED, 3: Outcome.UNCERTAIN}
    for seq, state in states.items():
        fields = {} if state is Outcome.SENT else {"problem": "550 5.1.1", "reply": "550 no"}
        Delivery.objects.filter(run=run, seq=seq).update(state=state, attempts=1, **fields)
    Run.objects.update(sent=1, failed=1, uncertain=1, pending=1)
    hourly = IntervalSchedule.objects.create(every=1, period="hours")
    task = PeriodicTask.objects.create(name="A task", task="mailer.tick", interval=hourly)
    result = TaskResult.objects.create(
        task_id="a-task", task_name="mailer.tick", status="FAILURE", traceback="Traceback …"
    )
    person, somebody = make_recipient(), User.objects.create_user("somebody")
    subscription = subscribe(person, mailing.lists.get())
    version: Any = mailing.message.current
    pages = [
        f"mailer/mailing/{mailing.pk}/change/",
        f"mailer/mailing/{mailing.pk}/do/send_now/",
        f"mailer/message/{mailing.message_id}/change/",
        f"mailer/message/{mailing.message_id}/do/send_test/",
        f"mailer/messageversion/{version.pk}/preview/",
        f"mailer/run/{run.pk}/change/",
        f"mailer/run/{run.pk}/do/cancel/",
        f"mailer/run/{run.pk}/do/resolve/",
        f"mailer/delivery/?run__id__exact={run.pk}",
        f"mailer/delivery/{Delivery.objects.get(run=run, seq=2).pk}/change/",
        f"mailer/batch/{Batch.objects.get(run=run).pk}/change/",
        f"mailer/relay/{Relay.objects.get().pk}/change/",
        f"mailer/recipient/{person.pk}/change/",
        f"mailer/recipient/{person.pk}/delete/",
        f"mailer/recipient/{person.pk}/history/",
        f"mailer/run/{run.pk}/history/",
        f"auth/user/{somebody.pk}/change/",
        "mailer/run/?state__exact=failed",
        f"mailer/subscription/?list__id__exact={subscription.list_id}",
        f"mailer/subscription/{subscription.pk}/change/",
        f"django_celery_results/taskresult/{result.pk}/change/",
        f"django_celery_beat/periodictask/{task.pk}/change/",
    ]
    adds = [f"{model}add/" for model in ADDS]
    return [f"/admin/{address}" for address in ("", *LISTS, *adds, *pages)]


# Dark on a phone, every third is enough: the same styles over the same kinds of page.
@pytest.mark.parametrize(("scheme", "width", "step"), [("light", 1280, 1), ("dark", 390, 3)])
def test_axe_finds_nothing_serious(
    page: Page, addresses: list[str], scheme: Literal["light", "dark"], width: int, step: int
) -> None:
    tab = page.context.new_page()  # axe itself tries what the policy forbids
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 900})
    found = []
    for address in addresses[::step]:
        tab.goto(address)
        for violation in Axe().run(tab).response["violations"]:
            if violation["impact"] in {"serious", "critical"}:
                nodes = [node["html"][:150] for node in violation["nodes"][:3]]
                found.append((address, violation["id"], nodes))
    tab.close()
    assert found == []
