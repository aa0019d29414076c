"""Observables of showers, jets, jet images and maps, which are compared in a report."""
