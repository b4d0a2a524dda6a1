"""Fails: its build needs what no machine has."""
raise SystemExit("no such compiler")
