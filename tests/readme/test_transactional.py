"""The example of docs/transactional.md runs as it stands there, and is read as it should be."""

import re
from typing import Any

import pytest

from mailer.engine.render import compile_content
from mailer.models import Delivery
from mailer.services import content
from mailer.services.content import content_of
from mailer.services.writing import check_message
from mailer.tests.factories import make_message, make_relay
from tests.readme.checkout import ROOT

GUIDE = (ROOT / "docs" / "transactional.md").read_text(encoding="utf-8")
TEXT, CODE = re.findall(r"(?ms)^```(?:python)?\n(.*?)^```", GUIDE)

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture(autouse=True)
def no_child_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "render_bounded", lambda *_args, **_limits: None)


def test_the_example_sends_what_it_says_once() -> None:
    make_relay()
    assert check_message(subject="Your order", html="", text=TEXT) == []
    message = make_message("Order receipt", subject="Your order", html="", text=TEXT)
    names: dict[str, Any] = {}
    exec(CODE, names)
    order = ("1001", "ann@a.example", "Ann", [{"count": 2, "what": "lamps"}])
    assert [names["confirm_order"](*order) for _ in range(2)] == ["pending", "pending"]
    delivery, version = Delivery.objects.get(), message.current
    assert version is not None
    written = compile_content(content_of(version)).render(delivery.variables)
    read = " ".join(written.text.split())
    assert read == "Dear Ann, thank you for order 1001: 2 × lamps"
