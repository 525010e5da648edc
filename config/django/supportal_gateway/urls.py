from django.urls import path

from . import views

app_name = "supportal_gateway"
urlpatterns = [path("who/", views.who), path("context/", views.context)]
