"""Images seen along one axis; import from `profiles`."""
