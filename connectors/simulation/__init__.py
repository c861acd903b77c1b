"""Simulation: what the simulated shops share."""
