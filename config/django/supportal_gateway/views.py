"""What the node asks the site: who comes in, and what was said before."""

import hmac
import re

from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_GET
from django_supportal.models import ChatMessage, ChatSession

from .conf import setting, token


def named(request):
    """The business and the session that are asked for, if these are names as the node's routes have them."""
    names = request.GET.get("business_id", ""), request.GET.get("session_id", "")
    are_names = re.fullmatch("[0-9]{1,18}", names[0]) and re.fullmatch("[A-Za-z0-9._-]{1,64}", names[1])
    return names if are_names else None


@require_GET
def who(request):
    """For auth.mode = ["forward"]: who the browser's cookie says this is, and whether the session exists."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    names = named(request)
    if not names or not ChatSession.objects.filter(business_id=names[0], session_id=names[1], is_active=True).exists():
        return HttpResponse(status=404)
    role = "agent" if request.user.is_staff else "customer"
    return JsonResponse({"user": request.user.pk, "role": role})


@require_GET
def context(request):
    """The last turns of a session, oldest first, as the package puts them before a question. Only for the node's token."""
    given, expected = request.headers.get("Authorization", ""), token()
    if not expected or not hmac.compare_digest(given.encode(), f"Bearer {expected}".encode()):
        return HttpResponse(status=401)
    names = named(request)
    if not names:
        return HttpResponse(status=404)
    rows = ChatMessage.objects.filter(session__business_id=names[0], session__session_id=names[1])
    newest = rows.order_by("-created_at").values_list("message_type", "content")[: setting("CONTEXT_TURNS")]
    turns = [{"role": kind.lower(), "content": content} for kind, content in reversed(newest) if kind != "SYSTEM"]
    return JsonResponse({"messages": turns})
