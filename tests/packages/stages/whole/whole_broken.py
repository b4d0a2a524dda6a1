"""Cannot be imported, as it says."""
raise RuntimeError("broken as it says")
