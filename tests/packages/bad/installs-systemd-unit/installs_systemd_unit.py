"""The module of installs-systemd-unit."""
