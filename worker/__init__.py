"""contactsync: keeps one clean contact store in step with every system that knows a customer."""
