"""How the content encoder that ships with the workbench was made; docs/guides/content_encoder.md has the commands."""
