"""What runs on a GPU machine: claims a job over HTTP, starts the trainer, wipes. No Django.

Stages 4 and 6. It holds the worker's keys and trusts `trust.json`, which its operator placed; the
registry's answers are believed as far as the trainer verifies them.
"""
