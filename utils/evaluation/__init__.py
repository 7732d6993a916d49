"""How good a voice is: similarity, intelligibility, pitch and naturalness of converted audio, and a report on them."""
