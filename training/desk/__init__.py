"""What a photographer runs on her own computer: a folder of pictures in, a report out.

Stage 5 without a server, a database or an account, by the rules and measures of the gate itself.
"""
