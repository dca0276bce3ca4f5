"""The views of the comparison: submit, then poll."""

from __future__ import annotations

from celery import current_app
from celery.result import AsyncResult
from django.urls import path
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class Digit(serializers.Serializer[object]):
    x = serializers.ListField(
        child=serializers.ListField(
            child=serializers.ListField(child=serializers.FloatField()), min_length=8
        ),
        min_length=8,
    )


class Submit(APIView):
    def post(self, request: Request) -> Response:
        digit = Digit(data=request.data)
        digit.is_valid(raise_exception=True)
        task = current_app.send_task("naive.predict", args=(digit.validated_data["x"],))
        return Response({"id": task.id}, status=status.HTTP_202_ACCEPTED)


class Poll(APIView):
    def get(self, request: Request, task_id: str) -> Response:
        result: AsyncResult[list[float]] = AsyncResult(task_id)
        return Response({"state": result.state, "y": result.result if result.successful() else None})


class Health(APIView):
    def get(self, request: Request) -> Response:
        return Response({"ok": True})


urlpatterns = [
    path("predict", Submit.as_view()),
    path("predict/<str:task_id>", Poll.as_view()),
    path("health", Health.as_view()),
]
