"""What measures pictures and faces: engines behind one small interface (stage 5, curation)."""
