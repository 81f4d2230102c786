"""What a value must offer; all loaded ones as one; changed while rows run."""
