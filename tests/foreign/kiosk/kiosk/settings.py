SECRET_KEY = "kiosk"
ALLOWED_HOSTS = ["testserver"]
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "rest_framework",
    "api",
    "predict_worker",
    "predict_worker_api",
]
ROOT_URLCONF = "kiosk.urls"
