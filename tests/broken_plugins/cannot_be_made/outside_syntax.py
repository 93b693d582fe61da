"""Broken."""

def half(:
