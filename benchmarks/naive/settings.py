"""Django and Celery settings of the comparison."""

import os

SECRET_KEY = "benchmark"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "benchmarks.naive.urls"
WSGI_APPLICATION = "benchmarks.naive.wsgi.application"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "rest_framework"]
DATABASES: dict[str, object] = {}
USE_TZ = True
REST_FRAMEWORK: dict[str, list[str]] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
}
CELERY_BROKER_URL = os.environ["REDIS_URL"]
CELERY_RESULT_BACKEND = os.environ["REDIS_URL"]
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 60
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]
APPEND_SLASH = False
