"""Structures of answers: compiled and followed in processes of their own. Free of torch."""
