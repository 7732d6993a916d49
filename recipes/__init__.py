"""How the weights that ship with the workbench were made."""
