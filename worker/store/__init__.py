"""Every SQL statement, one module per table; a function takes a connection and never commits."""
