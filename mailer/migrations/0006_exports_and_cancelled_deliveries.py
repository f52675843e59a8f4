"""Some of a run can be cancelled, deliveries can be exported; both are in the audit."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailer", "0005_batch_claimed_at"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="delivery",
            options={
                "ordering": ["-id"],
                "permissions": [("export_delivery", "Can export deliveries")],
                "verbose_name": "delivery",
                "verbose_name_plural": "deliveries",
            },
        ),
        migrations.AlterField(
            model_name="audit",
            name="action",
            field=models.CharField(
                choices=[
                    ("start", "started"),
                    ("pause", "paused"),
                    ("resume", "resumed"),
                    ("cancel", "cancelled"),
                    ("some", "cancelled some of it"),
                    ("finish", "finished"),
                    ("retry", "retried"),
                    ("resolve", "resolved"),
                    ("export", "exported"),
                    ("hold", "held"),
                    ("break", "paused by itself"),
                    ("take_over", "taken over after an interruption"),
                ],
                max_length=10,
                verbose_name="what",
            ),
        ),
        migrations.AlterField(
            model_name="audit",
            name="run",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="audits",
                to="mailer.run",
                verbose_name="run",
            ),
        ),
    ]
