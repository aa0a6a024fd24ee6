"""Pixels in, evidence out."""
