"""Domain: the rules, pure: no database, no clock, no network, no connector."""
