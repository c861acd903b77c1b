"""HTTP to providers: reading accounts, looking up profiles, and the origins that requests may go to."""
