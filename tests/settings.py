"""Django settings for unit tests: no Redis, no database, no TensorFlow."""

SECRET_KEY = "tests"
DEBUG = False
USE_TZ = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.urls"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "rest_framework",
    "predict_worker",
    "api",
]
MIDDLEWARE: list[str] = []
DATABASES: dict[str, object] = {}
