"""Streams of random numbers that never meet: what validates has not been trained on."""

TRAINING, VALIDATION = 1, 2
