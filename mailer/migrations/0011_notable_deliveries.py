"""What is looked for among a million has an index that no plain 250 changes (decision 20).

PostgreSQL writes the deliveries anew for it, and locks them meanwhile.
"""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailer", "0010_searching"),
    ]

    operations = [
        migrations.RemoveIndex(
            model_name="delivery",
            name="delivery_problem",
        ),
        migrations.RemoveIndex(
            model_name="delivery",
            name="delivery_retry",
        ),
        migrations.RemoveIndex(
            model_name="subscription",
            name="subscription_by_state",
        ),
        migrations.AddField(
            model_name="delivery",
            name="notable_state",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Case(
                    models.When(state__in=["pending", "sent"], then=None), default="state"
                ),
                output_field=models.CharField(max_length=9, null=True),
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("notable_state__isnull", False)),
                fields=["run", "notable_state", "problem", "seq"],
                name="delivery_notable",
            ),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("retry_at__isnull", False)),
                fields=["run", "retry_at"],
                name="delivery_retry_by_run",
            ),
        ),
        migrations.AddIndex(
            model_name="subscription",
            index=models.Index(fields=["list", "state", "recipient"], name="subscription_of_list"),
        ),
    ]
