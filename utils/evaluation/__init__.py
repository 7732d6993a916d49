"""How good a voice is: similarity, intelligibility, pitch and naturalness of converted audio, and the report on them."""
