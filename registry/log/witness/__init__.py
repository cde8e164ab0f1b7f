"""A witness for a second machine: cosigns what continues a log. No Django, no database."""
