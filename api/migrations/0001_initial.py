import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

from predict_worker.conf import from_settings

USER = from_settings("AUTH_USER_MODEL")


class Migration(migrations.Migration):
    initial = True
    dependencies = (migrations.swappable_dependency(USER),)
    operations = (
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                ("id", models.CharField(editable=False, max_length=12, primary_key=True, serialize=False)),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("name", models.CharField(max_length=100)),
                ("scopes", models.CharField(default="predict read", max_length=100)),
                ("models", models.CharField(blank=True, max_length=1000)),
                ("rate_limit", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=USER,
                    ),
                ),
            ],
            options={"verbose_name": "API key", "ordering": ("-created_at",)},
        ),
    )
