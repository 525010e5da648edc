from django.apps import AppConfig, apps
from django.core import checks
from django.core.exceptions import ImproperlyConfigured


class SupportalGatewayConfig(AppConfig):
    name = "supportal_gateway"
    verbose_name = "Supportal Gateway"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self):
        from .checks import check_settings

        if not apps.is_installed("django_supportal"):
            raise ImproperlyConfigured("INSTALLED_APPS has supportal_gateway and no django_supportal, whose rows it writes")
        checks.register(check_settings)
