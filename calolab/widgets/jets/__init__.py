"""The widget that shows jets of real and generated events."""
