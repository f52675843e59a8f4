"""A relay that lets us wait is remembered, so that it does not hold every process."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailer", "0007_bulk_actions"),
    ]

    operations = [
        migrations.AddField(
            model_name="relay",
            name="slow_until",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
