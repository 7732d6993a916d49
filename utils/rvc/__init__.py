"""The files of RVC-WebUI and Applio: reading them without trusting them, and writing ones that they read."""
