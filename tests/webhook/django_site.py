"""A Django site for the tests: a view of the manual, under Django's WSGI server.

    python tests/webhook/django_site.py FOLDER SECRET [VIEW]

FOLDER holds the view (VIEW_view.py, by default answer_view.py), which is at /supportal/VIEW/. The first line of output is the port; the site ends with its standard input.
"""

import importlib
import sys
import threading
import types

import django
from django.conf import settings

folder, secret = sys.argv[1:3]
view = sys.argv[3] if len(sys.argv) > 3 else "answer"
sys.path.insert(0, folder)
settings.configure(
    ALLOWED_HOSTS=["site.example"],
    LOGGING_CONFIG=None,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
    ROOT_URLCONF="site_urls",
    SECRET_KEY="for tests",
    SUPPORTAL_SECRET=secret,
)
django.setup()

from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import path  # noqa: E402

urls = types.ModuleType("site_urls")
module = importlib.import_module(f"{view}_view")
urls.urlpatterns = [path(f"supportal/{view}/", getattr(module, view))]
sys.modules["site_urls"] = urls


class Quiet(WSGIRequestHandler):
    def log_message(self, format, *args):
        pass


server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
server.daemon_threads = True
server.set_app(get_wsgi_application())
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
sys.stdin.read()
