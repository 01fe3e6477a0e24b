"""The web application: catalog of pieces, blind listening studies, researcher dashboards."""
