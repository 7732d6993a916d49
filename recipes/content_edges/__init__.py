"""Teach a finished content encoder to hear the same beside a cut as in the whole recording."""
