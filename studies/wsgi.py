"""The WSGI entry point: ``gunicorn studies.wsgi``."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studies.settings")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # statistics solve small systems: threads cost more
application = get_wsgi_application()
