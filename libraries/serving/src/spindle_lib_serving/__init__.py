"""Serving a browser or a client on this machine; import from the modules `guard`, `allowed`, `answers`, `listening`, `protocol`, `refusal`."""
