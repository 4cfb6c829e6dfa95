"""The bodies of the commands: what `logstream_cli.py` runs once it has understood the command line."""
