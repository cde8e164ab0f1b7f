"""Bounded programs that hammer and kill the log's processes and then look at what is left."""
