"""Tables in and out: importing files of customers, exporting every contact."""
