"""How the content encoder that ships with the workbench was made; docs/content_encoder.md has the commands."""
