"""What the node asks the site: who comes in, and what was said before."""

import hmac

from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_GET
from django_supportal.models import ChatMessage, ChatSession

from .conf import setting, token


@require_GET
def who(request):
    """For auth.mode = ["forward"]: who the browser's cookie says this is, and whether the session exists."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    business_id, session_id = request.GET.get("business_id", ""), request.GET.get("session_id", "")
    sessions = ChatSession.objects.filter(session_id=session_id, is_active=True)
    if not business_id.isdecimal() or not sessions.filter(business_id=business_id).exists():
        return HttpResponse(status=404)
    role = "agent" if request.user.is_staff else "customer"
    return JsonResponse({"user": request.user.pk, "role": role})


@require_GET
def context(request):
    """The last turns of a session, oldest first, as the package puts them before a question. Only for the node's token."""
    given, expected = request.headers.get("Authorization", ""), token()
    if not expected or not hmac.compare_digest(given.encode(), f"Bearer {expected}".encode()):
        return HttpResponse(status=401)
    business_id = request.GET.get("business_id", "")
    if not business_id.isdecimal():
        return HttpResponse(status=404)
    rows = ChatMessage.objects.filter(session__business_id=business_id, session__session_id=request.GET.get("session_id"))
    newest = rows.order_by("-created_at").values_list("message_type", "content")[: setting("CONTEXT_TURNS")]
    turns = [{"role": kind.lower(), "content": content} for kind, content in reversed(newest) if kind != "SYSTEM"]
    return JsonResponse({"messages": turns})
