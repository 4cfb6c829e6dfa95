"""The client gateway: sessions, requests that wait, long polls."""
