"""When a batch was taken up: a run's page says how fast it goes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("mailer", "0004_delivery_by_recipient"),
    ]

    operations = [
        migrations.AddField(
            model_name="batch",
            name="claimed_at",
            field=models.DateTimeField(null=True, verbose_name="taken up"),
        ),
    ]
