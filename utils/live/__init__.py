"""A voice between a microphone and a loudspeaker; imports no torch."""
