"""The settings of a project with opinions of its own."""

import os

from predict_worker.celery_config import broker_url

SECRET_KEY = "shop"
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "rest_framework",
    "shop.api",
    "predict_worker",
    "api",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]
ROOT_URLCONF = "shop.urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REST_FRAMEWORK = {
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.NamespaceVersioning",
    "ALLOWED_VERSIONS": ["v1"],
    "DEFAULT_THROTTLE_CLASSES": ["rest_framework.throttling.AnonRateThrottle"],
    "DEFAULT_THROTTLE_RATES": {"anon": "1/day"},
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "EXCEPTION_HANDLER": "rest_framework.views.exception_handler",
}

CELERY_RESULT_BACKEND = broker_url(os.environ["REDIS_URL"])
CELERY_IMPORTS = "shop.reports"
CELERY_TASK_ROUTES = {"shop.reports.*": "celery"}

PREDICT_WORKER = {
    "REDIS_URL": os.environ["REDIS_URL"],
    "MODEL_REPOSITORY": os.environ["SHOP_MODELS"],
    "KEY_PREFIX": "shop",
    "ALLOW_ANONYMOUS": True,
}
