"""The whole stack on one machine: its processes, embedded servers, and the demo."""
