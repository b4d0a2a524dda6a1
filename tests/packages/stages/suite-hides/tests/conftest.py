import os

# As pytest ends where there are no tests.
os._exit(5)
