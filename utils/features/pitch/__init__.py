"""Pitch trackers: 16 kHz audio in, fundamental frequency of 100 frames a second out."""
