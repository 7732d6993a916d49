"""The files of RVC-WebUI, Applio and So-VITS-SVC: read without trusting them, and written as they read them."""
