"""Text read by a text-to-speech voice and said in a voice of ours; imports no torch."""
