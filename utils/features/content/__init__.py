"""Content encoders: 16 kHz audio in, speaker-independent features of 100 frames a second out."""
