from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = [("django_supportal", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="ArchiveCursor",
            fields=[
                ("reader", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("cursor", models.CharField(blank=True, max_length=384)),
                ("rows", models.BigIntegerField(default=0, help_text="Rows written so far")),
                ("missed", models.BigIntegerField(default=0, help_text="Events that the node had removed before they were read")),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
        ),
        migrations.CreateModel(
            name="ParkedEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reader", models.CharField(max_length=64)),
                ("cursor", models.CharField(max_length=384)),
                ("room", models.CharField(max_length=255)),
                ("reason", models.TextField()),
                ("event", models.TextField(help_text="The archive's line, as JSON")),
                ("parked_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={"ordering": ["id"]},
        ),
        migrations.AddConstraint(
            model_name="parkedevent",
            constraint=models.UniqueConstraint(fields=("reader", "cursor"), name="supportal_parked_once"),
        ),
    ]
