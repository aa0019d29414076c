"""Scorecards: several generators against one reference, in the metrics that papers print, beside their floors."""
