"""Quantized models with their manifest; `build/` says how each was made."""
