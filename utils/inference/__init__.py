"""Run exported voices with onnxruntime and numpy; imports no torch."""
