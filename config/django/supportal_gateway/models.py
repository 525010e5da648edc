from django.db import models


class ArchiveCursor(models.Model):
    """How far the archive has been read: written in the transaction of the rows."""

    reader = models.CharField(max_length=64, primary_key=True)
    cursor = models.CharField(max_length=384, blank=True)  # 48 digits for each of up to eight Redis
    rows = models.BigIntegerField(default=0, help_text="Rows written so far")
    missed = models.BigIntegerField(default=0, help_text="Events that the node had removed before they were read")
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self):
        return f"{self.reader} at {self.cursor or 'the beginning'}"


class ParkedEvent(models.Model):
    """An event that has no row: its session is not known, or the database refuses its text."""

    reader = models.CharField(max_length=64)
    cursor = models.CharField(max_length=384)
    room = models.CharField(max_length=255)
    reason = models.TextField()
    event = models.TextField(help_text="The archive's line, as JSON")
    parked_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["reader", "cursor"], name="supportal_parked_once")]
        ordering = ["id"]

    def __str__(self):
        return f"{self.room}: {self.reason}"
