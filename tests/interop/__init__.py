"""Programs of others, in other languages, read what we publish. They need tools we do not ship."""
