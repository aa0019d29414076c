"""Classifier two-sample tests: how well a trained classifier distinguishes generated from reference events."""
