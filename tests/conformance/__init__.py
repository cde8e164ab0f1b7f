"""Public test vectors, run as one command: `python -m tests.conformance`."""
