"""The demonstration: one whole case on real photographs, with eight refusals planted in it.

It lives on the roof because it walks through every floor. Everything a photographer, an agency or a
talent does goes over HTTP, as it would from outside; only what an operator does (creating people,
recording base models, swapping a stored picture as an intruder would) is done in the process.

The people sign with software authenticators of the test mode: real WebAuthn structures and real
signatures, by keys that say that they are test keys. Live mode refuses them.
"""
