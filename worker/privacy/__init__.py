"""The privacy room: what the law asks for, carried out bit by bit in short transactions."""
