"""The studio: what the researcher sees. A selector, an analysis, a chart, a template; no models."""
