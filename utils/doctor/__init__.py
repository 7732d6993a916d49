"""The dataset doctor: are these recordings good enough for a voice, and what would help?"""
