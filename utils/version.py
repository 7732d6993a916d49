"""The version of the project: pyproject.toml, `--version` and the cards of exported voices take it from here."""

VERSION = "0.2.0"
