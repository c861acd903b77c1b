"""What brings the compose file up on a machine and tries it; nothing of the product imports this."""
