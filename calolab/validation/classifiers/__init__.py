"""Classifier two-sample tests: how well a trained classifier tells generated events from those of the reference."""
