from django.http import HttpRequest, JsonResponse


def orders(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"orders": []})
