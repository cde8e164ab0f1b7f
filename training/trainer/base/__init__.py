"""The tiny base model: how it is drawn, built and named. It shows nobody."""
