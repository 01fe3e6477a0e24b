import re
from pathlib import Path

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.template.loader import render_to_string


def test_plotly_is_found_in_its_installed_package():
    found = Path(finders.find("plotly/plotly.min.js"))
    assert found.parent.name == "package_data"
    assert b"plotly.js" in found.read_bytes()[:500]


def test_nothing_else_of_the_package_is_served():
    assert finders.find("plotly/widgetbundle.js") is None
    assert finders.find("plotly/../plotly.min.js") is None


def test_collectstatic_puts_plotly_under_its_own_folder(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    call_command("collectstatic", "--noinput", verbosity=0)
    assert (tmp_path / "plotly" / "plotly.min.js").stat().st_size > 1_000_000
    assert not (tmp_path / "plotly.min.js").exists()


@pytest.fixture
def collected(settings, tmp_path):
    """The static files as the product serves them: names with hashes, nothing else."""
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "studies.packages.CollectedFiles"},
    }
    slow = ["plotly*", "admin", "axes"]  # no files of ours; compressing them takes most of the time
    call_command("collectstatic", "--noinput", verbosity=0, ignore_patterns=slow)
    return tmp_path


def test_every_script_and_style_finds_what_it_imports_under_its_hashed_name(collected):
    """A script that asks for an unhashed name gets nothing, and the page stays silent."""
    imports = re.compile(r"""^import\b[^"']*["'](\.{1,2}/[^"']+)["']|url\(["']?([^"')]+)""", re.MULTILINE)
    asked = [
        (file, wanted)
        for file in [*collected.rglob("*.js"), *collected.rglob("*.css")]
        if file.parts[len(collected.parts)] in ("listening", "dashboards", "earwitness")
        for groups in imports.findall(file.read_text(encoding="utf-8"))
        for wanted in groups
        if wanted and not wanted.startswith("data:")
    ]
    assert len([file for file, _ in asked if file.name.startswith("listener.")]) >= 2
    assert [(file.name, wanted) for file, wanted in asked if not (file.parent / wanted).exists()] == []


def test_a_page_of_an_error_finds_its_styles(collected):
    page = render_to_string("404.html")
    links = re.findall(r'href="/static/([^"]+)"', page)
    assert len(links) >= 3
    assert [link for link in links if not (collected / link).exists()] == []
