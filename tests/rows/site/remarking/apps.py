from django.apps import AppConfig
from django.db.models.signals import post_save


def remark(sender, instance, created, **_):
    if created and instance.message_type == "USER":
        sender.objects.create(session=instance.session, message_type="SYSTEM", content=f"heard {instance.content}")


class Remarking(AppConfig):
    name = "remarking"

    def ready(self):
        post_save.connect(remark, sender="django_supportal.ChatMessage")
