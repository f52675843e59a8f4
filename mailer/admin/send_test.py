"""The "Send test…" of a message: to one address, marked in its history, never counted."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.forms import ModelChoiceField
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from admin_ext.components.confirm import ObjectForm
from admin_ext.components.history import WHO, note_change
from admin_ext.components.object_actions import ObjectAction
from mailer.exceptions import NotPossible
from mailer.models import Message, Relay
from mailer.services.testing import check_test, default_relay, request_test
from mailer.tasks import publish_test

from .message_form import AddressField
from .permissions import may_see_results
from .run_page import results_of

SHOWN = 10


class TestAddressForm(ObjectForm):
    __test__ = False  # a form, whatever pytest makes of its name

    relay = ModelChoiceField(
        label=gettext_lazy("Through"), queryset=Relay.objects.all(), empty_label=None
    )
    address = AddressField(
        label=gettext_lazy("To"),
        max_length=254,
        help_text=gettext_lazy(
            "Filled in for the recipient with this address, if there is one; otherwise the"
            " message's placeholders have to do without a person."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["relay"] = default_relay(self.obj)

    def clean_address(self) -> str:
        try:
            return check_test(self.obj, self.cleaned_data["address"])
        except NotPossible as problem:
            raise ValidationError(str(problem)) from None


def _send(request: HttpRequest, message: Message, moment: datetime, values: dict[str, Any]) -> str:
    by: Any = request.user
    test = request_test(message, **values, by=by, now=timezone.now())
    publish_test(test)
    # Without the address: the history outlives the person's erasure.
    words = _("%(who)s sent test %(test)s.") % {"who": WHO, "test": test.pk}
    note_change(request, message, words)
    return _(
        "A test of “%(message)s” is on its way to %(address)s through “%(relay)s”. What came of it"
        " is shown below."
    ) % {"message": message, "address": test.address, "relay": test.relay}


def _what_it_does(message: Any) -> str:
    words = _(
        "The current version, %(number)s, is sent once to the address below. It is not counted."
    )
    relay = default_relay(message)
    through = (
        _("It leaves through “%(relay)s” unless you choose another relay.") % {"relay": relay}
        if relay
        else _("There is no relay yet. Add one, then send the test.")
    )
    return f"{words % {'number': message.current.number}}\n{through}"


SEND_TEST_ACTION = ObjectAction(
    name="send_test",
    label=gettext_lazy("Send test…"),
    permission="mailer.change_message",
    question=_what_it_does,
    button=lambda message: _("Send the test"),
    run=_send,
    available=lambda message: message.current is not None,
    why_not=lambda message: _("“%(message)s” has no content yet.") % {"message": message},
    form_class=TestAddressForm,
)


def describe_tests(message: Message, request: HttpRequest) -> list[dict[str, Any]]:
    """The last tests of a message, newest first, each with its stored result's key if this person
    may see that."""
    tests = list(message.tests.select_related("requested_by", "relay")[:SHOWN])
    results: dict[str, int] = {}
    if may_see_results(request):
        results = results_of([test.task_id for test in tests])
    return [{"test": test, "result": results.get(test.task_id)} for test in tests]
