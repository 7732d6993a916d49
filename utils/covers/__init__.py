"""Songs in a voice: take apart, convert, mix; imports no torch."""
