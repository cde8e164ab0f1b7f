"""The local machine: an embedded PostgreSQL, a supervisor, and the environment's settings.

No stage of the flow lives here and nothing here is trusted by one: it starts what the stages
need on one computer, and stops it again. A production site uses its own PostgreSQL and process
manager and needs only `env` from this package.
"""
