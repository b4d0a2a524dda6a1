"""Leaves a file in the home when it is imported, and stays for as long as another machine needs to start
and to look for it."""
import os
import time

with open(os.path.expanduser("~/left-by-import"), "w") as file:
    file.write("here")
time.sleep(15)
