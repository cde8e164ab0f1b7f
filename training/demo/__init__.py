"""What the demonstration works on, in place of a customer's own material."""
