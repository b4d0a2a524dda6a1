"""The module of installs-cron."""
