"""Scorecards: several generators compared with one reference, in the usual metrics of publications, with floors."""
