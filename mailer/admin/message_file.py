"""The files of a message, on its page: added and removed, never changed."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mailer.engine.template_check import SOURCE_LIMIT
from mailer.exceptions import NotPossible
from mailer.models import Message, MessageFile, MessageVersion
from mailer.services.attaching import (
    LONGEST_NAME,
    check_file,
    check_image,
    check_together,
    keep_file,
    suggest_image_name,
)
from mailer.services.inline_images import shown_images


class FileForm(forms.ModelForm[MessageFile]):
    upload = forms.FileField(
        label=gettext_lazy("File"), max_length=LONGEST_NAME, widget=forms.FileInput
    )
    in_html = forms.CharField(
        label=gettext_lazy("Name in the HTML"),
        required=False,
        # Of an inline image; without it, logo.png is logo.
        widget=forms.TextInput(attrs={"placeholder": gettext_lazy("as its file")}),
    )

    class Meta:
        model = MessageFile
        fields = ("kind",)

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        upload = values.get("upload")
        if upload is None:
            return values
        name, image_name = upload.name, values.get("in_html", "")
        inline = values.get("kind") == MessageFile.Kind.INLINE
        if image_name and not inline:
            self.add_error("in_html", _("Only an inline image has one."))
        try:
            check_file(name=name, size=upload.size)
            if inline:
                image_name = image_name or suggest_image_name(name)
                check_image(name=name, image_name=image_name)
        except NotPossible as problem:
            raise ValidationError(str(problem)) from None
        self.instance.name, self.instance.size = name, upload.size
        self.instance.image_name = image_name if inline else ""
        return values


class FileFormSet(BaseInlineFormSet[MessageFile, Message, FileForm]):
    """After it was saved, `attached` is what the message's next version has."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        files = self._chosen()
        try:
            check_together(files)
        except NotPossible as problem:
            raise ValidationError(str(problem)) from None
        images = {file.image_name for file in files}
        raise_for = [
            _("HTML, line %(line)s: it shows cid:%(name)s, and no inline image below is called so.")
            % {"line": line, "name": name}
            for name, line in self._shown.items()
            if name not in images
        ]
        if raise_for:
            raise ValidationError(raise_for)

    @property
    def attached(self) -> list[MessageFile]:
        added: list[MessageFile] = self.new_objects
        return [*self._kept(), *added]

    @property
    def warnings(self) -> list[str]:
        """A sentence for each image that the HTML does not show."""
        words = _("The inline image “%(name)s” is not shown: the HTML has no cid:%(cid)s.")
        return [
            words % {"name": file.name, "cid": file.image_name}
            for file in self.attached
            if file.image_name and file.image_name not in self._shown
        ]

    def save_new(self, form: FileForm, commit: bool = True) -> MessageFile:
        octets = form.cleaned_data["upload"].read()
        file = form.instance
        return keep_file(self.instance, name=file.name, octets=octets, image_name=file.image_name)

    def delete_existing(self, obj: MessageFile, commit: bool = True) -> None:
        """Nothing: the versions that have it keep it."""

    def _kept(self) -> list[MessageFile]:
        # One that somebody else has removed since the page was opened has no key any more.
        forms = [form for form in self.initial_forms if not self._is_removed(form)]
        return [form.instance for form in forms if form.instance.pk is not None]

    def _chosen(self) -> list[MessageFile]:
        added = [form for form in self.extra_forms if form.has_changed()]
        return [*self._kept(), *(form.instance for form in added if not self._is_removed(form))]

    def _is_removed(self, form: FileForm) -> bool:
        return form in self.deleted_forms

    @cached_property
    def _shown(self) -> dict[str, int]:
        html = self.data.get("html", "").replace("\r\n", "\n")
        return shown_images(html) if len(html) <= SOURCE_LIMIT else {}  # else refused for that


class MessageFileInline(admin.TabularInline[MessageFile, Message]):
    model = MessageFile
    form = FileForm
    formset = FileFormSet  # type: ignore[assignment]  # its form is our own
    fields = ("upload", "kind", "in_html")
    extra = 0
    verbose_name_plural = gettext_lazy("files: attachments and images")

    def get_queryset(self, request: HttpRequest) -> Any:
        return MessageFile.objects.current()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # whoever may see the message

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        may = "change" if obj else "add"
        return request.user.has_perm(f"mailer.{may}_message")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_add_permission(request, obj)

    @admin.display(description=gettext_lazy("file"))
    def upload(self, file: MessageFile) -> SafeString | str:
        if file.pk is None:
            return _("Removed by somebody else meanwhile")
        return file_link(file, _("Download"))

    @admin.display(description=gettext_lazy("name in the HTML"))
    def in_html(self, file: MessageFile) -> SafeString | str:
        tag = f'<img src="cid:{file.image_name}" alt="">'
        return format_html("<code>{}</code>", tag) if file.image_name else "—"


def file_link(file: MessageFile, words: str) -> SafeString:
    url = reverse("admin:mailer_message_file", args=[file.pk])
    return format_html('<a href="{}">{}</a> ({})', url, words, filesizeformat(file.size))


def list_files(version: MessageVersion) -> SafeString | str:
    """A line for each file that a version has."""
    lines = [
        (
            file_link(file, file.name),
            file.get_kind_display(),
            file.image_name and f"cid:{file.image_name}",
        )
        for file in version.files.all()
    ]
    return format_html_join("", "<div>{} {} {}</div>", lines) or "—"
