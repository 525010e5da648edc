from django.urls import include, path

urlpatterns = [path("supportal-gateway/", include("supportal_gateway.urls"))]
