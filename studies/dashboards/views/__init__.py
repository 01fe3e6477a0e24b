"""The pages of the studio. `urls.py` puts each of them behind the login."""
