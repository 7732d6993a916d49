"""The files of RVC-WebUI, Applio and So-VITS-SVC: reading them without trusting them, and writing ones that they read."""
