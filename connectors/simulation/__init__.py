"""What the simulated shops share: invented people, and the deliveries that a shop sends.

Everything here is pure and seeded: the same arguments give the same result, byte for byte.
"""
