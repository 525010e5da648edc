from django.apps import AppConfig
from django.db.models.signals import post_save


def tell(instance, **_):
    print("row", instance.content)


class Listening(AppConfig):
    name = "listening"

    def ready(self):
        post_save.connect(tell, sender="django_supportal.ChatMessage")
