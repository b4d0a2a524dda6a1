"""Its build asks a host by name for what is missing, which is a notice and no more, and fails."""
import socket

try:
    socket.getaddrinfo("downloads.example.org", 443)
except OSError as error:
    print("nobody has frost.h:", error)

raise RuntimeError("no frost.h on this machine")
