"""The widget that shows the engines of a cluster."""
