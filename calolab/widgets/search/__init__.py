"""The widget that follows and steers a hyper-parameter search."""
