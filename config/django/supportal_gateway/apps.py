from django.apps import AppConfig


class SupportalGatewayConfig(AppConfig):
    name = "supportal_gateway"
    verbose_name = "Supportal Gateway"
    default_auto_field = "django.db.models.BigAutoField"
