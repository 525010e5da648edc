from django.contrib import admin

from .models import ArchiveCursor, ParkedEvent


@admin.register(ArchiveCursor)
class ArchiveCursorAdmin(admin.ModelAdmin):
    list_display = ["reader", "rows", "missed", "updated_at"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False


@admin.register(ParkedEvent)
class ParkedEventAdmin(admin.ModelAdmin):
    list_display = ["room", "reason", "parked_at"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        return False
