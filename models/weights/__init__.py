"""Shipped models: one safetensors file each, its spec and training record in the header."""
