"""Content encoders, pitch trackers, the analysis front end and retrieval."""
