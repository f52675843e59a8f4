"""Saving a message: checked by line, and every change a new version."""

from collections.abc import Collection
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max

from mailer.engine.render import (
    Content,
    Problem,
    TemplateProblem,
    check_template,
    compile_content,
)
from mailer.models import Message, MessageFile, MessageVersion

CONTENT_FIELDS = ("subject", "html", "text", "from_name", "from_address", "reply_to")


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem in one field of a message; `problem.kind` is "error" or "warning"."""

    field: str
    problem: Problem


def check_message(*, subject: str, html: str, text: str) -> list[Finding]:
    """What is wrong with a message's templates, field by field and line by line."""
    fields = {"subject": subject, "html": html, "text": text}
    findings = [
        Finding(field, problem)
        for field, source in fields.items()
        for problem in check_template(source, html=field == "html")
    ]
    if (html.strip() or text.strip()) and all(found.problem.kind != "error" for found in findings):
        try:  # what the parser takes, minijinja may not
            compile_content(Content(subject, html, text))
        except TemplateProblem as problem:
            findings.append(Finding(problem.part, Problem(problem.line or 1, problem.reason)))
    return findings


def newer_version(message: Message, *, than: int | None) -> MessageVersion | None:
    """The current version, where its number is not `than`. No other is made before the
    transaction ends."""
    Message.objects.select_for_update().get(pk=message.pk)
    current = message.current
    return current if current and current.number != than else None


def is_renamed(message: Message, *, name: str, language: str) -> bool:
    """Whether the stored message is called or written in something else; neither has versions."""
    stored = Message.objects.filter(pk=message.pk, name=name, language=language)
    return not stored.exists()


@transaction.atomic
def save_version(
    message: Message,
    content: dict[str, str],
    *,
    files: Collection[MessageFile] | None = None,
    by: User | None,
) -> MessageVersion:
    """Make `content` (CONTENT_FIELDS) the current version; the old one if nothing changed.

    `files` are all that it has; None: those it had.
    """
    Message.objects.select_for_update().get(pk=message.pk)
    current = message.current
    had = set(current.files.all()) if current else set()
    files = had if files is None else set(files)
    unchanged = current and all(getattr(current, name) == content[name] for name in CONTENT_FIELDS)
    if current and unchanged and files == had:
        return current
    highest = message.versions.aggregate(highest=Max("number"))["highest"] or 0
    version = MessageVersion.objects.create(
        message=message,
        number=highest + 1,
        created_by=by,
        **{name: content[name] for name in CONTENT_FIELDS},
    )
    version.files.set(files)
    return version
