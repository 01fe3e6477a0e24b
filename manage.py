#!/usr/bin/env python
"""Earwitness on the command line: ``python manage.py <command> --help``."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "studies.settings")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # statistics solve small systems: threads cost more
    from django.core.management import execute_from_command_line

    from studies.secret_key import DataFolderError

    try:
        execute_from_command_line(sys.argv)
    except DataFolderError as error:
        sys.exit(f"CommandError: {error}")
