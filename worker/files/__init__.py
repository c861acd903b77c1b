"""Files: tables in and out."""
