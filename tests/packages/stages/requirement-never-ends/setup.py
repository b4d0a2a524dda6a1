"""Its build begins, and never ends."""
import time

with open("began", "w") as file:
    file.write("and does not end\n")

while True:
    time.sleep(60)
