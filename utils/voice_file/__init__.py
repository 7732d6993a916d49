"""What an exported file is: name, metadata, controls, geometry, kinds. Imports no torch."""
