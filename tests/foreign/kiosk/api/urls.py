from django.http import HttpRequest, JsonResponse
from django.urls import path


def orders(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"orders": []})


urlpatterns = [path("orders", orders)]
