"""A relay that lets us wait is remembered, so that it does not hold every process."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailer", "0006_exports_and_cancelled_deliveries"),
    ]

    operations = [
        migrations.AddField(
            model_name="relay",
            name="slow_until",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
