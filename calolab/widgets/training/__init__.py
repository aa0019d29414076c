"""The widget that follows a training run."""
