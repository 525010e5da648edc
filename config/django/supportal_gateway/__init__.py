"""A django-supportal site beside Supportal Gateway: its rows, its answers, its say in who comes in.

INSTALLED_APPS = [..., "django_supportal", "supportal_gateway"]; the chapters are docs/django.md. Needs nothing but Django,
the package, and channels where a worker answers.
"""
