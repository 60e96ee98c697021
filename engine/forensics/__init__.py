"""Forensics of models and data: files that an investigator has become reports. Pure, bounded, and never unpickling."""
